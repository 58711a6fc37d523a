/**
 * Lets one collector work at a time, also when one of them is suspended and resumes in the middle of its work.
 *
 * Each collector makes a directory under its writer's name, and works only if no living writer has one. It removes
 * the directories of dead writers first. Moved messages are renamed out of that directory, the only step that could
 * bring back a message that was freed; a collector that was taken for dead finds its directory gone, and the rename
 * fails.
 *
 * Owns the directory from acquire() to release().
 */
import { join } from "node:path";
import { codeOf, done, isMissing, listDirectory, removeFile, type SpoolFiles } from "../disk/files.ts";
import type { Places } from "../disk/names.ts";
import type { WriterHeartbeat } from "../writers/heartbeat.ts";
import type { WriterRegistry } from "../writers/writer-registry.ts";

export interface CollectorLockOptions {
  files: SpoolFiles;
  places: Places;
  heartbeat: WriterHeartbeat;
  registry: WriterRegistry;
}

export class CollectorLock {
  readonly #files: SpoolFiles;
  /** Where moved messages are prepared. */
  readonly directory: string;

  private constructor(files: SpoolFiles, directory: string) {
    this.#files = files;
    this.directory = directory;
  }

  /** @returns undefined when another collector is at work */
  static async acquire(options: CollectorLockOptions): Promise<CollectorLock | undefined> {
    const { files, places, heartbeat, registry } = options;
    const name = await heartbeat.name();
    const lock = new CollectorLock(files, join(places.moving, name));
    await makeDirectory(files, lock.directory);
    const others = (await listDirectory(files, places.moving)).filter((other) => other !== name);
    await registry.refresh();
    // Two that begin at the same moment see each other, and both give way.
    if (others.some((other) => registry.isAlive(other))) {
      await lock.release();
      return undefined;
    }
    for (const other of others) await removeDirectory(files, join(places.moving, other));
    return lock;
  }

  release(): Promise<void> {
    return removeDirectory(this.#files, this.directory);
  }
}

async function makeDirectory(files: SpoolFiles, directory: string): Promise<void> {
  try {
    await done((end) => files.mkdir(directory, end));
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

async function removeDirectory(files: SpoolFiles, directory: string): Promise<void> {
  for (;;) {
    for (const file of await listDirectory(files, directory)) await removeFile(files, join(directory, file));
    try {
      await done((end) => files.rmdir(directory, end));
      return;
    } catch (error) {
      if (isMissing(error)) return;
      // Its owner is alive after all and has made another file, which is removed too.
      if (codeOf(error) !== "ENOTEMPTY") throw error;
    }
  }
}
