/**
 * When jobs that a full destination could not serve come back: one after another, as it can take them, never all at once.
 * Each retry queue is a sequence of slots, kept in one process or in Redis.
 */
import { retrySlotsKey, takeRetrySlotScript } from "./cluster-scripts.ts";
import type { RetrySlotRequest } from "./limiter.ts";
import type { RedisWithDeadline } from "./redis-with-deadline.ts";

/** Retry queues known before those whose slots are over are forgotten. */
const sweepAt = 10_000;

/** The retry slots of one process. */
export class LocalRetrySlots {
  readonly #now: () => number;
  readonly #random: () => number;
  /** Up to when the slots of each queue have been given away. */
  readonly #promisedMs = new Map<string, number>();

  constructor(now: () => number, random: () => number) {
    this.#now = now;
    this.#random = random;
  }

  /** @returns milliseconds from now */
  take(retryQueue: string, request: RetrySlotRequest): number {
    const nowMs = this.#now();
    if (this.#promisedMs.size >= sweepAt) this.#sweep(nowMs);
    const promisedSoFarMs = (this.#promisedMs.get(retryQueue) ?? 0) - nowMs;
    const { delayMs, promisedMs } = nextRetrySlot(promisedSoFarMs, request, this.#random());
    this.#promisedMs.set(retryQueue, nowMs + promisedMs);
    return Math.ceil(delayMs);
  }

  #sweep(nowMs: number): void {
    for (const [name, promisedMs] of this.#promisedMs) {
      if (promisedMs <= nowMs) this.#promisedMs.delete(name);
    }
  }
}

/** The retry slots of all processes; those of this process while Redis is away. */
export class ClusterRetrySlots {
  readonly #redis: RedisWithDeadline;
  readonly #local: LocalRetrySlots;

  constructor(redis: RedisWithDeadline, local: LocalRetrySlots) {
    this.#redis = redis;
    this.#local = local;
  }

  /** @returns epoch milliseconds */
  async take(retryQueue: string, request: RetrySlotRequest): Promise<number> {
    await this.#redis.starting;
    const nowMs = Date.now();
    const delayMs = this.#redis.isAvailable ? await this.#ask(retryQueue, request) : undefined;
    return nowMs + (delayMs ?? this.#local.take(retryQueue, request));
  }

  #ask(retryQueue: string, { eachMs, earliestMs, horizonMs }: RetrySlotRequest): Promise<number | undefined> {
    const args = [eachMs, earliestMs, horizonMs, Math.random()];
    return this.#redis.run(takeRetrySlotScript, [retrySlotsKey(retryQueue)], args, Number);
  }
}

/**
 * The next free slot of a retry queue, relative to now like all times here. Beyond the horizon nothing is promised: jobs
 * that come back then may have to wait once more, and they come spread over half of it.
 * @param promisedMs  up to when slots have been given away
 * @param random      0..1
 */
export function nextRetrySlot(
  promisedMs: number,
  { eachMs, earliestMs, horizonMs }: RetrySlotRequest,
  random: number,
): { delayMs: number; promisedMs: number } {
  const next = Math.max(promisedMs, earliestMs) + eachMs;
  if (next <= Math.max(horizonMs, earliestMs + eachMs)) return { delayMs: next, promisedMs: next };
  return { delayMs: horizonMs * (1 + random / 2), promisedMs };
}
