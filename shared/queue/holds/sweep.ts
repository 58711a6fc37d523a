/** Makes the held jobs agree with the hold rules after these changed or expired. The leading reconciler runs it. Owns nothing. */
import type { Logger } from "../../runtime/log.ts";
import type { Shards } from "../../shards/shard.ts";
import { holdCovered, releaseUncovered } from "./enforcement.ts";
import { type HoldRule, holdRuleId } from "./rules.ts";
import type { Holds } from "./store.ts";

/** Changes that come together share a sweep, and the workers know of them by then. */
const settleMs = 1_000;
/** A worker that did not know of a release yet may have held a job after the first sweep. */
const secondSweepMs = 8_000;

export class HoldSweep {
  readonly #shards: Shards;
  readonly #holds: Holds;
  readonly #log: Logger;
  readonly #unsubscribe: () => void;
  /** When sweeps are due, by the monotonic clock. The first finds what changed while no reconciler ran. */
  #dueMs: number[] = [0];
  #running = false;

  constructor(shards: Shards, holds: Holds, log: Logger) {
    this.#shards = shards;
    this.#holds = holds;
    this.#log = log;
    this.#unsubscribe = holds.onChange(() => {
      const nowMs = performance.now();
      this.#dueMs = [nowMs + settleMs, nowMs + secondSweepMs];
    });
  }

  /** Called regularly; returns at once. */
  sweepIfDue(): void {
    const nowMs = performance.now();
    const isDue = this.#dueMs.some((dueMs) => dueMs <= nowMs) || expiredRules(this.#holds).length > 0;
    if (this.#running || !isDue) return;
    this.#dueMs = this.#dueMs.filter((dueMs) => dueMs > nowMs);
    this.#running = true;
    void this.#sweep()
      .catch((error) => {
        this.#log.debug({ err: error }, "could not enforce the holds; will repeat");
        this.#dueMs.push(performance.now() + secondSweepMs);
      })
      .finally(() => {
        this.#running = false;
      });
  }

  close(): void {
    this.#unsubscribe();
  }

  async #sweep(): Promise<void> {
    await this.#holds.ready;
    const expired = expiredRules(this.#holds);
    const areLeft = this.#holds.list().length > expired.length;
    if (expired.length > 0) await this.#holds.remove(expired.map(holdRuleId));
    const parked = areLeft ? await holdCovered(this.#shards, this.#holds) : 0;
    const { released } = await releaseUncovered(this.#shards, this.#holds);
    if (parked + released > 0) this.#log.info({ parked, released }, "holds changed");
  }
}

function expiredRules(holds: Pick<Holds, "list">): HoldRule[] {
  const nowMs = Date.now();
  return holds.list().filter(({ untilMs }) => untilMs !== undefined && untilMs <= nowMs);
}
