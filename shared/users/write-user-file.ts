/** Rewrites a user file: as a whole or not at all, readable for its owner only. */
import {
  closeSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

export class UserFileBusy extends Error {
  override name = "UserFileBusy";
}

/**
 * @param change  gets the text of the file, "" where there is none, and returns the new one
 * @param newOwner  who owns a file that did not exist before, where this process may decide that; else the process
 * @throws UserFileBusy when another process is writing it, or was killed while it did; what `change` throws; errors of the file system
 */
export async function changeUserFile(
  file: string,
  newOwner: { uid: number; gid: number } | undefined,
  change: (text: string) => string | Promise<string>,
): Promise<void> {
  const next = `${file}.new`;
  const descriptor = openExclusively(next);
  try {
    const before = statSync(file, { throwIfNoEntry: false });
    const text = await change(before === undefined ? "" : readFileSync(file, "utf8"));
    const owner = before ?? newOwner;
    if (owner !== undefined && process.getuid?.() === 0) fchownSync(descriptor, owner.uid, owner.gid);
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
    renameSync(next, file);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
  syncDirectory(dirname(file));
}

/** The new file is the lock too: two changes at once would lose one. */
function openExclusively(file: string): number {
  try {
    return openSync(file, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new UserFileBusy(`${file} exists: another change is under way; remove it if that one was cut off`);
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
