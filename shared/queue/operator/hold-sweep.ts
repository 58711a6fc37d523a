/** Makes the parked jobs agree with the hold rules after these changed or expired. The keeper that leads runs it. Owns nothing. */
import type { Logger } from "../../runtime/log.ts";
import type { RedisConnection } from "../../runtime/redis.ts";
import { holdRuleId } from "../holds/rules.ts";
import type { Holds } from "../holds/store.ts";
import { holdMatching, releaseHeld } from "./hold-enforcement.ts";

/** Changes that come together are swept together, and the workers have heard of them by then. */
const settleMs = 1_000;
/** A worker that had not heard of a release may have parked a job after the first sweep. */
const secondSweepMs = 8_000;

export class HoldSweep {
  readonly #redis: RedisConnection;
  readonly #holds: Holds;
  readonly #log: Logger;
  readonly #unsubscribe: () => void;
  /** Epoch milliseconds. The first sweep finds what changed while no keeper ran. */
  #due: number[] = [0];
  #running = false;

  constructor(redis: RedisConnection, holds: Holds, log: Logger) {
    this.#redis = redis;
    this.#holds = holds;
    this.#log = log;
    this.#unsubscribe = holds.onChange(() => {
      const nowMs = Date.now();
      this.#due = [nowMs + settleMs, nowMs + secondSweepMs];
    });
  }

  /** Called regularly; returns at once. */
  run(): void {
    const nowMs = Date.now();
    const expired = this.#holds.list().some(({ untilMs }) => untilMs !== undefined && untilMs <= nowMs);
    const due = this.#due.some((dueMs) => dueMs <= nowMs);
    if (this.#running || !(due || expired)) return;
    this.#due = this.#due.filter((dueMs) => dueMs > nowMs);
    this.#running = true;
    void this.#sweep(nowMs)
      .catch((error) => {
        this.#log.debug({ err: error }, "could not sweep the holds; will repeat");
        this.#due.push(nowMs + secondSweepMs);
      })
      .finally(() => {
        this.#running = false;
      });
  }

  close(): void {
    this.#unsubscribe();
  }

  async #sweep(nowMs: number): Promise<void> {
    await this.#holds.ready;
    const rules = this.#holds.list();
    const expired = rules.filter(({ untilMs }) => untilMs !== undefined && untilMs <= nowMs);
    if (expired.length > 0) await this.#holds.remove(expired.map(holdRuleId));
    const parked = rules.length > expired.length ? await holdMatching(this.#redis, this.#holds) : 0;
    const { released } = await releaseHeld(this.#redis, this.#holds);
    if (parked + released > 0) this.#log.info({ parked, released }, "holds changed");
  }
}
