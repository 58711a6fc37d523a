/** Allows one `postern up` for each data directory. Owns the lock file, which the returned function removes. */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

/** @returns a function that unlocks, or `undefined` while a running `postern up` holds the lock */
export function lockDirectory(directory: string): (() => void) | undefined {
  const file = join(directory, "up.pid");
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const fd = openSync(file, "wx", 0o600);
      writeSync(fd, `${process.pid}\n`);
      closeSync(fd);
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      if (isPostern(Number.parseInt(readFileSync(file, "utf8"), 10))) return undefined;
      rmSync(file, { force: true });
    }
  }
  return undefined;
}

/** Whether a process is a running Postern: after a reboot its number may belong to another program. */
function isPostern(pid: number): boolean {
  if (!(pid > 0) || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    return /main\.[jt]s\0/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return true;
  }
}
