/**
 * Watches the writes that clients wait for: how long the disk takes, and whether it fails. While the last one was slow or
 * failed, a probe is written now and then, so that it is known when the disk is well again although no mail comes. Owns a
 * timer and the probe's file, until close().
 */
import { join } from "node:path";
import { SpoolFull, type StoragePressure } from "../../spool.ts";
import { closeFile, done, openFile, removeFile, type SpoolFiles, spoolError, writeFully } from "./files.ts";
import type { Places } from "./names.ts";

const probeEveryMs = 1000;
const probeBytes = Buffer.alloc(4096);

export interface DiskWatchOptions {
  files: SpoolFiles;
  places: Places;
  monotonicMs: () => number;
  /** A write that took longer is followed by a probe. A disk that is well takes a hundredth of the default. */
  slowMs: number;
}

interface Running {
  doing: string;
  sinceMs: number;
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Running>();
  #lastMs = 0;
  #failure: string | undefined;
  #probing: Promise<void> | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#probeIfNeeded(), probeEveryMs).unref();
  }

  /**
   * Watches one write.
   * @param doing      for operators: "writing messages"
   * @param isDurable  it ends on stable storage: only then its success says that the disk is well
   */
  async watch<T>(doing: string, write: () => Promise<T>, isDurable = true): Promise<T> {
    const { monotonicMs } = this.#options;
    const running = { doing, sinceMs: monotonicMs() };
    this.#running.add(running);
    try {
      const result = await write();
      if (isDurable) {
        this.#failure = undefined;
        this.#lastMs = monotonicMs() - running.sinceMs;
      }
      return result;
    } catch (error) {
      const failure = spoolError(error, doing);
      // Free space is watched elsewhere.
      if (!(failure instanceof SpoolFull)) this.#failure = failure.message;
      throw error;
    } finally {
      this.#running.delete(running);
    }
  }

  pressure(): Omit<StoragePressure, "freeBytes"> {
    const [oldest] = this.#running;
    const runningMs = oldest === undefined ? 0 : this.#options.monotonicMs() - oldest.sinceMs;
    return {
      latencyMs: Math.max(runningMs, this.#lastMs),
      ...(oldest !== undefined && { doing: oldest.doing }),
      ...(this.#failure !== undefined && { failure: this.#failure }),
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#probing;
  }

  #probeIfNeeded(): void {
    const isWell = this.#failure === undefined && this.#lastMs < this.#options.slowMs;
    // The end of a running write says as much as a probe.
    if (isWell || this.#running.size > 0 || this.#probing !== undefined) return;
    this.#probing = this.watch("writing a probe", () => this.#probe())
      .catch(() => {})
      .finally(() => {
        this.#probing = undefined;
      });
  }

  async #probe(): Promise<void> {
    const { files, places } = this.#options;
    const path = join(places.root, "probe");
    const fd = await openFile(files, path, "w");
    try {
      await writeFully(files, fd, [probeBytes], 0);
      await done((end) => files.fdatasync(fd, end));
    } finally {
      await closeFile(files, fd);
      // Another process may have removed it.
      await removeFile(files, path).catch(() => {});
    }
  }
}
