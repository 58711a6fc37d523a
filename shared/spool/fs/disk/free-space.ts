/** Watches the free space of the spool's file system, so that asking costs nothing. Owns a timer until close(). */

import type { StatsFs } from "node:fs";
import type { OnFault } from "./fault.ts";
import { called, type SpoolFiles } from "./files.ts";

const everyMs = 1000;

export class FreeSpace {
  readonly #files: SpoolFiles;
  readonly #directory: string;
  readonly #onFault: OnFault;
  readonly #timer: NodeJS.Timeout;
  #asking = false;
  /** Unknown counts as enough: a write tells. */
  #freeBytes = Number.POSITIVE_INFINITY;

  constructor(files: SpoolFiles, directory: string, onFault: OnFault) {
    this.#files = files;
    this.#directory = directory;
    this.#onFault = onFault;
    this.#timer = setInterval(() => void this.ask(), everyMs).unref();
    void this.ask();
  }

  get freeBytes(): number {
    return this.#freeBytes;
  }

  async ask(): Promise<number> {
    if (this.#asking) return this.#freeBytes;
    this.#asking = true;
    try {
      const stats = await called<StatsFs>((end) => this.#files.statfs(this.#directory, end));
      // What is available to us, not what is kept for root.
      this.#freeBytes = stats.bavail * stats.bsize;
    } catch (error) {
      this.#onFault({ kind: "background", doing: "asking for free space", error });
    } finally {
      this.#asking = false;
    }
    return this.#freeBytes;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
