/** Watches the free space of the spool's file system, so that asking costs nothing. Owns a timer until close(). */

import type { StatsFs } from "node:fs";
import type { OnTrouble } from "./fault.ts";
import { called, type SpoolFiles } from "./files.ts";

const everyMs = 1000;

export class FreeSpace {
  readonly #files: SpoolFiles;
  readonly #directory: string;
  readonly #onTrouble: OnTrouble;
  readonly #timer: NodeJS.Timeout;
  #asking = false;
  /** Unknown counts as enough: a write tells. */
  #freeBytes = Number.POSITIVE_INFINITY;

  constructor(files: SpoolFiles, directory: string, onTrouble: OnTrouble) {
    this.#files = files;
    this.#directory = directory;
    this.#onTrouble = onTrouble;
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
      this.#onTrouble({ kind: "background", doing: "asking for free space", error });
    } finally {
      this.#asking = false;
    }
    return this.#freeBytes;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
