/** The free and the used space of a spool. The free space is watched, so that asking costs nothing. Owns a timer until close(). */
import type { StatsFs } from "node:fs";
import { join, relative } from "node:path";
import type { OnFault } from "./fault.ts";
import type { FileFaults } from "./file-faults.ts";
import { called, listDirectory, type SpoolFiles, statFile } from "./files.ts";
import { numberedNames, type Places } from "./names.ts";

const watchEveryMs = 1000;
/** Files whose size is asked for at the same time. */
const statsAtOnce = 32;

export class DiskSpace {
  readonly #files: SpoolFiles;
  readonly #places: Places;
  readonly #onFault: OnFault;
  readonly #fileFaults: FileFaults;
  readonly #timer: NodeJS.Timeout;
  #asking = false;
  /** As long as it is not known, there is enough: a write would fail. */
  #freeBytes = Number.POSITIVE_INFINITY;

  constructor(files: SpoolFiles, places: Places, onFault: OnFault, fileFaults: FileFaults) {
    this.#files = files;
    this.#fileFaults = fileFaults;
    this.#places = places;
    this.#onFault = onFault;
    this.#timer = setInterval(() => void this.askFree(), watchEveryMs).unref();
    void this.askFree();
  }

  /** As it was a second ago at most. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  async askFree(): Promise<number> {
    if (this.#asking) return this.#freeBytes;
    this.#asking = true;
    try {
      const stats = await called<StatsFs>((end) => this.#files.statfs(this.#places.root, end));
      // Available to this user; `bfree` includes what is reserved for root.
      this.#freeBytes = stats.bavail * stats.bsize;
    } catch (error) {
      this.#onFault({ kind: "background", doing: "asking for free space", error });
    } finally {
      this.#asking = false;
    }
    return this.#freeBytes;
  }

  /**
   * Asks for the size of every file: for metrics, not on the path of a message.
   * @throws the file system's errors
   */
  async measureUsed(): Promise<{ bytesUsed: number; segments: number }> {
    const { segments, statusLogs, large, moved, damaged } = this.#places;
    let bytesUsed = 0;
    for (const place of [segments, statusLogs, large, moved, damaged]) {
      const names = await listDirectory(this.#files, place);
      for (let start = 0; start < names.length; start += statsAtOnce) {
        const some = names.slice(start, start + statsAtOnce);
        const sizes = await Promise.all(some.map((name) => this.#sizeOf(join(place, name))));
        for (const size of sizes) bytesUsed += size;
      }
    }
    const listing = await listDirectory(this.#files, segments);
    return { bytesUsed, segments: numberedNames(listing, ".seg").length };
  }

  /** 0 for a file that is gone, or cannot be asked. */
  async #sizeOf(path: string): Promise<number> {
    try {
      return (await statFile(this.#files, path))?.size ?? 0;
    } catch (error) {
      this.#fileFaults.met(relative(this.#places.root, path), error);
      return 0;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
