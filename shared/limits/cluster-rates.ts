/**
 * Message rates over all processes. Each process reserves messages a quarter of a second ahead, so that a fast rate costs
 * four questions to Redis a second, and gives back what it does not use.
 */
import type { Rate } from "../config/values.ts";
import { rateKey, reserveRateScript } from "./cluster-scripts.ts";
import { paceOf } from "./limiter.ts";
import type { LocalLimiter } from "./local-limiter.ts";
import type { RedisWithDeadline } from "./redis-with-deadline.ts";

const aheadMs = 250;
const mostAtOnce = 1000;
/** What is reserved and not used goes back after this time. */
const keptMs = 1000;

/** What this process has reserved of one rate. */
interface Reserve {
  rate: Rate;
  left: number;
  /** When the last was reserved; milliseconds of the process' monotonic clock, like all times here. */
  reservedMs: number;
  /** Known to be used up until then. */
  emptyUntilMs: number;
  /** Messages that wait for the answer under way. */
  waiters: ((waitMs: number) => void)[];
  isAsking: boolean;
}

export class ClusterRates {
  readonly #redis: RedisWithDeadline;
  readonly #local: Pick<LocalLimiter, "admitMessage">;
  readonly #reserves = new Map<string, Reserve>();

  /** @param local  counts while Redis is away */
  constructor(redis: RedisWithDeadline, local: Pick<LocalLimiter, "admitMessage">) {
    this.#redis = redis;
    this.#local = local;
  }

  /** @returns milliseconds to wait, 0: counted */
  admitMessage(name: string, rate: Rate): number | Promise<number> {
    const reserve = this.#reserveOf(name, rate);
    if (reserve.left > 0) {
      reserve.left--;
      return 0;
    }
    const waitMs = reserve.emptyUntilMs - performance.now();
    if (waitMs > 0) return waitMs;
    const { starting } = this.#redis;
    if (starting !== undefined) return starting.then(() => this.admitMessage(name, rate));
    if (!this.#redis.isAvailable) return this.#local.admitMessage(name, rate);
    const answer = new Promise<number>((resolve) => reserve.waiters.push(resolve));
    if (!reserve.isAsking) void this.#serveWaiters(name, reserve);
    return answer;
  }

  refundMessage(name: string, rate: Rate): void {
    const reserve = this.#reserves.get(name);
    if (reserve === undefined) return;
    reserve.left++;
    reserve.reservedMs = performance.now();
    reserve.rate = rate;
  }

  /** Gives back what is not used. */
  sweep(): void {
    const nowMs = performance.now();
    for (const [name, reserve] of this.#reserves) {
      if (reserve.isAsking || nowMs - reserve.reservedMs < keptMs || nowMs < reserve.emptyUntilMs) continue;
      this.#reserves.delete(name);
      if (reserve.left > 0) void this.#giveBack(name, reserve);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#reserves].map(([name, reserve]) => this.#giveBack(name, reserve)));
    this.#reserves.clear();
  }

  #reserveOf(name: string, rate: Rate): Reserve {
    let reserve = this.#reserves.get(name);
    if (reserve === undefined) {
      reserve = { rate, left: 0, reservedMs: 0, emptyUntilMs: 0, waiters: [], isAsking: false };
      this.#reserves.set(name, reserve);
    }
    return reserve;
  }

  async #serveWaiters(name: string, reserve: Reserve): Promise<void> {
    const { rate, waiters } = reserve;
    const most = Math.min(mostAtOnce, rate.burst ?? rate.count);
    const ahead = Math.min(most, Math.max(1, Math.floor(aheadMs / paceOf(rate).shareMs)));
    reserve.isAsking = true;
    while (waiters.length > 0) {
      const answer = await this.#reserve(name, rate, Math.max(ahead, waiters.length));
      if (answer === undefined) {
        for (const resolve of waiters.splice(0)) resolve(this.#local.admitMessage(name, rate));
        break;
      }
      const [given, waitMs] = answer;
      reserve.left += given;
      reserve.reservedMs = performance.now();
      if (waitMs > 0) reserve.emptyUntilMs = reserve.reservedMs + waitMs;
      while (reserve.left > 0 && waiters.length > 0) {
        reserve.left--;
        waiters.shift()?.(0);
      }
      if (waitMs > 0) for (const resolve of waiters.splice(0)) resolve(waitMs);
    }
    reserve.isAsking = false;
  }

  async #giveBack(name: string, { rate, left }: Reserve): Promise<void> {
    if (left > 0 && this.#redis.isAvailable) await this.#reserve(name, rate, -left);
  }

  /** @param want  how many messages; negative: given back. @returns how many were given, and after how many ms the next may go */
  #reserve(name: string, rate: Rate, want: number) {
    const { shareMs, aheadMs } = paceOf(rate);
    const args = [shareMs, aheadMs, want];
    return this.#redis.run(
      reserveRateScript,
      [rateKey(name)],
      args,
      (answer) => answer as [given: number, waitMs: number],
    );
  }
}
