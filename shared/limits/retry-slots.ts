/** When those come back who cannot go now: one after another, as the destination can take them, never all at once. */

import type { RetrySlotRequest } from "./limiter.ts";

/** Lines known before those that are empty are forgotten. */
const sweepAt = 10_000;

/** The turns of one process. */
export function localRetrySlots(
  now: () => number,
  random: () => number,
): (line: string, request: RetrySlotRequest) => number {
  /** Up to when turns have been given away. */
  const lines = new Map<string, number>();
  return (line, request) => {
    const nowMs = now();
    if (lines.size >= sweepAt) {
      for (const [name, promisedMs] of lines) if (promisedMs <= nowMs) lines.delete(name);
    }
    const { delayMs, promisedMs } = nextRetrySlot((lines.get(line) ?? 0) - nowMs, request, random());
    lines.set(line, nowMs + promisedMs);
    return Math.ceil(nowMs + delayMs);
  };
}

/**
 * The next free time of a line, relative to now like all times here. Beyond the horizon nothing is promised: who comes
 * back then may have to wait once more, and they come spread over half of it.
 * @param promisedMs  up to when turns have been given away
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
