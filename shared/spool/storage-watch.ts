/**
 * Watches the writes that clients wait for: how long the storage takes, and whether it fails. While the last one was slow or
 * failed, a probe is written now and then, so that it is known when the storage is well again although no mail comes. Owns a
 * timer, until close().
 */
import { SpoolFull, type StoragePressure } from "./spool.ts";

const probeEveryMs = 1000;

export interface StorageWatchOptions {
  /** Writes a few octets durably, and removes them. */
  probe(): Promise<void>;
  /** The failure in words for operators; SpoolFull for lack of space. */
  toFailure(error: unknown, doing: string): Error;
  monotonicMs: () => number;
  /** A write that took longer is followed by a probe. */
  slowMs: number;
}

interface Running {
  doing: string;
  sinceMs: number;
}

export class StorageWatch {
  readonly #options: StorageWatchOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Running>();
  #lastMs = 0;
  #failure: string | undefined;
  #probing: Promise<void> | undefined;

  constructor(options: StorageWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#probeIfNeeded(), probeEveryMs).unref();
  }

  /**
   * Watches one write.
   * @param doing      for operators: "writing messages"
   * @param isDurable  it ends on stable storage: only then its success says that the storage is well
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
      const failure = this.#options.toFailure(error, doing);
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
    this.#probing = this.watch("writing a probe", () => this.#options.probe())
      .catch(() => {})
      .finally(() => {
        this.#probing = undefined;
      });
  }
}
