/**
 * One collector at a time, also when one of them was paused and wakes up in the middle of its work.
 *
 * Each collector makes a directory under its writer's name, and works only if no living writer has one. The
 * directories of dead writers are removed first. Messages that move to a file of their own are renamed out of that
 * directory, the only step that could bring something back; a collector that was taken for dead finds its
 * directory gone and the rename impossible.
 * Owns the directory from acquire() to release().
 */
import { join } from "node:path";
import { codeOf, done, isMissing, listDirectory, removeFile, type SpoolFiles } from "../disk/files.ts";
import type { OwnWriter } from "../writers/own-writer.ts";
import type { WriterRegistry } from "../writers/writer-registry.ts";

export interface CollectorLock {
  /** Where messages are made ready to move. */
  directory: string;
  release(): Promise<void>;
}

/** @returns undefined when another collector is at work */
export async function acquireCollectorLock(
  files: SpoolFiles,
  moving: string,
  own: OwnWriter,
  registry: WriterRegistry,
): Promise<CollectorLock | undefined> {
  const name = await own.name();
  const directory = join(moving, name);
  await done((end) => files.mkdir(directory, end)).catch((error: unknown) => {
    if (codeOf(error) !== "EEXIST") throw error;
  });
  const lock = { directory, release: () => removeDirectory(files, directory) };
  const others = (await listDirectory(files, moving)).filter((other) => other !== name);
  await registry.refresh();
  // Two that begin at the same moment see each other, and both leave it for the next time.
  if (others.some((other) => registry.isAlive(other))) {
    await lock.release();
    return undefined;
  }
  for (const other of others) await removeDirectory(files, join(moving, other));
  return lock;
}

async function removeDirectory(files: SpoolFiles, directory: string): Promise<void> {
  for (;;) {
    for (const file of await listDirectory(files, directory)) await removeFile(files, join(directory, file));
    try {
      await done((end) => files.rmdir(directory, end));
      return;
    } catch (error) {
      if (isMissing(error)) return;
      // Its owner is alive after all and has made another file: once more.
      if (codeOf(error) !== "ENOTEMPTY") throw error;
    }
  }
}
