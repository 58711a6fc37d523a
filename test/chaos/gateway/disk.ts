/** The disk of the run: a small file system in memory where the user may mount one, else a directory. Its caller removes it. */
import { execFileSync } from "node:child_process";
import { mkdirSync, statfsSync } from "node:fs";

export interface Disk {
  directory: string;
  /** Why it cannot be filled. */
  unavailable?: string;
  /** Makes it so small that so much is left. */
  leaveFree(octets: number): void;
  /** Gives it all its space back. */
  empty(): void;
  unmount(): void;
}

const sizeBytes = 2 * 1024 ** 3;

export function makeDisk(directory: string): Disk {
  mkdirSync(directory, { recursive: true });
  const mount = (options: string): void => {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "chaos", directory], { stdio: "pipe" });
  };
  try {
    mount(`size=${sizeBytes}`);
  } catch {
    const unavailable = "this user may mount no file system";
    return { directory, unavailable, leaveFree: () => {}, empty: () => {}, unmount: () => {} };
  }
  return {
    directory,
    leaveFree(octets) {
      const { blocks, bfree, bsize } = statfsSync(directory);
      const used = (blocks - bfree) * bsize;
      // What is written meanwhile makes it smaller than what is used, which the kernel refuses.
      for (const spare of [0, 1, 8, 64]) {
        try {
          mount(`remount,size=${used + octets + spare * 65_536}`);
          return;
        } catch {}
      }
    },
    empty: () => mount(`remount,size=${sizeBytes}`),
    // Lazily: a process that was killed may not be gone yet.
    unmount: () => void execFileSync("umount", ["-l", directory], { stdio: "pipe" }),
  };
}
