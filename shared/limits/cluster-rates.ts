/** Messages of cluster-wide rates, reserved a quarter of a second ahead: a fast rate costs four questions a second. */
import type { Rate } from "../config/values.ts";
import { reserveRateScript } from "./cluster-scripts.ts";
import { rateKey } from "./keys.ts";
import type { LocalLimiter } from "./local-limiter.ts";
import type { RedisWithDeadline } from "./redis-with-deadline.ts";

const aheadMs = 250;
const mostAtOnce = 1000;
/** What is reserved and not used goes back after this time. */
const keptMs = 1000;

interface Reserve {
  rate: Rate;
  left: number;
  /** When the last was reserved. */
  reservedMs: number;
  /** Known to be used up until then. */
  emptyUntilMs: number;
  /** Who waits for the answer under way. */
  waiters: ((waitMs: number) => void)[];
  isAsking: boolean;
}

export class ClusterRates {
  readonly #redis: RedisWithDeadline;
  readonly #local: Pick<LocalLimiter, "admitMessage">;
  readonly #reserves = new Map<string, Reserve>();

  constructor(redis: RedisWithDeadline, local: Pick<LocalLimiter, "admitMessage">) {
    this.#redis = redis;
    this.#local = local;
  }

  /** @returns milliseconds to wait, 0: counted */
  admitMessage(name: string, rate: Rate): number | Promise<number> {
    let reserve = this.#reserves.get(name);
    if (reserve === undefined) {
      reserve = { rate, left: 0, reservedMs: 0, emptyUntilMs: 0, waiters: [], isAsking: false };
      this.#reserves.set(name, reserve);
    }
    if (reserve.left > 0) {
      reserve.left--;
      return 0;
    }
    const waitMs = reserve.emptyUntilMs - Date.now();
    if (waitMs > 0) return waitMs;
    const { starting } = this.#redis;
    if (starting !== undefined) return starting.then(() => this.admitMessage(name, rate));
    if (!this.#redis.isThere) return this.#local.admitMessage(name, rate);
    const { waiters } = reserve;
    const answer = new Promise<number>((resolve) => waiters.push(resolve));
    if (!reserve.isAsking) void this.#ask(name, reserve);
    return answer;
  }

  refundMessage(name: string, rate: Rate): void {
    const reserve = this.#reserves.get(name);
    if (reserve === undefined) return;
    reserve.left++;
    reserve.reservedMs = Date.now();
    reserve.rate = rate;
  }

  /** Gives back what nobody used. */
  sweep(): void {
    const nowMs = Date.now();
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

  async #ask(name: string, reserve: Reserve): Promise<void> {
    const { rate, waiters } = reserve;
    const shareMs = rate.periodMs / rate.count;
    const ahead = Math.min(mostAtOnce, Math.max(1, Math.floor(aheadMs / shareMs)));
    reserve.isAsking = true;
    while (waiters.length > 0) {
      const want = Math.max(ahead, waiters.length);
      let given: number;
      let waitMs: number;
      try {
        const args = [shareMs, rate.periodMs, want];
        [given, waitMs] = (await this.#redis.run(reserveRateScript, [rateKey(name)], args)) as [
          number,
          number,
        ];
      } catch (error) {
        this.#redis.failed(error);
        for (const resolve of waiters.splice(0)) resolve(this.#local.admitMessage(name, rate));
        break;
      }
      reserve.left += given;
      reserve.reservedMs = Date.now();
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
    if (left === 0 || !this.#redis.isThere) return;
    const args = [rate.periodMs / rate.count, rate.periodMs, -left];
    await this.#redis.run(reserveRateScript, [rateKey(name)], args).catch(this.#redis.failed);
  }
}
