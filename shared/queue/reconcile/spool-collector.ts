/** Runs spool.collect() regularly, and more rarely while it frees nothing. It owns nothing. */
import type { Logger } from "../../runtime/log.ts";
import type { CollectReport, Spool } from "../../spool/spool.ts";

export interface CollectTiming {
  /** Between two runs of spool.collect(), and the longest pause when it frees nothing. */
  collectEveryMs: number;
  collectAtMostMs: number;
}

export class SpoolCollector {
  readonly #spool: Pick<Spool, "collect">;
  readonly #timing: CollectTiming;
  readonly #log: Logger;
  #pauseMs: number;
  /** By the monotonic clock. */
  #nextMs: number;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(spool: Pick<Spool, "collect">, timing: CollectTiming, log: Logger) {
    this.#spool = spool;
    this.#timing = timing;
    this.#log = log;
    this.#pauseMs = timing.collectEveryMs;
    this.#nextMs = performance.now() + this.#pauseMs;
  }

  /** Called regularly; returns at once. */
  collectIfDue(): void {
    if (this.#closed || this.#running !== undefined || performance.now() < this.#nextMs) return;
    this.#running = this.#collect().finally(() => {
      this.#running = undefined;
    });
  }

  /** Starts no further run; resolves when the one under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #collect(): Promise<void> {
    try {
      const report = await this.#spool.collect();
      this.#pauseMs = pauseAfter(report, this.#pauseMs, this.#timing);
      if (isUseful(report)) this.#log.debug(report, "collected the spool");
    } catch (error) {
      if (!this.#closed) this.#log.warn({ err: error }, "could not collect the spool");
    }
    this.#nextMs = performance.now() + this.#pauseMs;
  }
}

/** @returns how long to wait after a run, in milliseconds: twice as long as before while runs free nothing */
export function pauseAfter(report: CollectReport, lastMs: number, timing: CollectTiming): number {
  return isUseful(report) ? timing.collectEveryMs : Math.min(lastMs * 2, timing.collectAtMostMs);
}

function isUseful({ segmentsRemoved, messagesMoved }: CollectReport): boolean {
  return segmentsRemoved > 0 || messagesMoved > 0;
}
