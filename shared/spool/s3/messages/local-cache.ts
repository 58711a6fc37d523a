/**
 * Copies of what the processes of this host have written lately, in a local directory that they share: a worker beside the
 * ingress reads nothing over the network. A copy is a hint: it is checked like any record, and read from the store when it
 * is not there. Owns nothing but files.
 */
import { mkdir, open, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface LocalCacheOptions {
  directory: string;
  /** Octets of all copies together. */
  cacheBytes: number;
  /**
   * A copy counts for half of the time for which settlements outlive their messages: an old one must not bring back a
   * message of which everything is forgotten.
   */
  forgetAfterMs: number;
}

/** Files of a draft that nobody finished are removed at this age. */
const abandonedMs = 24 * 3_600_000;
/** Copies are counted after so many writes at the latest. */
const writesBetweenLooks = 200;

let count = 0;

export class LocalCache {
  readonly #options: LocalCacheOptions;
  #made: Promise<unknown> | undefined;
  #writtenBytes = 0;
  #writes = writesBetweenLooks;
  #looking: Promise<void> | undefined;

  constructor(options: LocalCacheOptions) {
    this.#options = options;
  }

  /** A path for a file under way, in the directory of the copies. */
  async newPath(): Promise<string> {
    const { directory } = this.#options;
    this.#made ??= mkdir(directory, { recursive: true, mode: 0o700 });
    await this.#made.catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    count++;
    return join(directory, `.${process.pid}-${Date.now().toString(36)}-${count}`);
  }

  /** Best effort: without a copy the object is read from the store. */
  async add(key: string, octets: Buffer): Promise<void> {
    if (octets.length > this.#options.cacheBytes / 4) return;
    try {
      const path = await this.newPath();
      await writeFile(path, octets, { mode: 0o600 });
      await this.adopt(key, path, octets.length);
    } catch {
      // A full or missing disk.
    }
  }

  /** Makes a complete file the copy of this object. */
  async adopt(key: string, path: string, bytes: number): Promise<void> {
    await rename(path, this.#path(key));
    this.#writtenBytes += bytes;
    this.#writes++;
    if (this.#writtenBytes > this.#options.cacheBytes / 8 || this.#writes > writesBetweenLooks)
      this.#looking ??= this.#evict().finally(() => {
        this.#looking = undefined;
      });
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true }).catch(() => {});
  }

  /** The octets when there is a copy that has all of them. */
  async read(key: string, offset: number, length: number): Promise<Buffer | undefined> {
    try {
      const file = await open(this.#path(key), "r");
      try {
        const { mtimeMs, size } = await file.stat();
        const isOld = Date.now() - mtimeMs > this.#options.forgetAfterMs / 2;
        if (isOld || size < offset + length) return undefined;
        const octets = Buffer.allocUnsafe(length);
        const { bytesRead } = await file.read(octets, 0, length, offset);
        return bytesRead === length ? octets : undefined;
      } finally {
        await file.close();
      }
    } catch {
      return undefined;
    }
  }

  async close(): Promise<void> {
    await this.#looking;
  }

  #path(key: string): string {
    return join(this.#options.directory, key.replaceAll("/", "_"));
  }

  /** Removes the oldest copies until the others fit, and old files that were never finished. */
  async #evict(): Promise<void> {
    this.#writtenBytes = 0;
    this.#writes = 0;
    const { directory, cacheBytes, forgetAfterMs } = this.#options;
    try {
      const files: { path: string; size: number; ageMs: number }[] = [];
      for (const name of await readdir(directory)) {
        const path = join(directory, name);
        const stats = await stat(path).catch(() => undefined);
        if (stats === undefined) continue;
        const ageMs = Date.now() - stats.mtimeMs;
        if (!name.startsWith(".")) files.push({ path, size: stats.size, ageMs });
        else if (ageMs > abandonedMs) await rm(path, { force: true });
      }
      files.sort((a, b) => a.ageMs - b.ageMs);
      let bytes = 0;
      for (const { path, size, ageMs } of files) {
        bytes += size;
        if (bytes > cacheBytes || ageMs > forgetAfterMs / 2) await rm(path, { force: true });
      }
    } catch {
      // Looked at again after the next writes.
    }
  }
}
