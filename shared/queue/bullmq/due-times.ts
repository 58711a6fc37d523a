/** How due times stand in BullMQ's sorted set `delayed`, and which of them mean that a job is held. Pure. */

/**
 * BullMQ's scores are due times in epoch milliseconds times 4096: 12 bits for a sequence, which we leave 0.
 * Scores are doubles, exact up to 2^53: due times end in 2039-09.
 */
export const delayedScoreFactor = 4096;

/** Due times from here on (2039-05-26) mean "held": BullMQ's workers leave such a job alone until it is released. */
export const heldFromMs = 2_190_000_000_000;
/** From when the seconds in a held job's due time count: 2020. */
const heldEpochMs = 1_577_836_800_000;

export const heldFromScore = heldFromMs * delayedScoreFactor;

/** @returns a due time that means "held", and since when, to the second */
export function heldDueMs(sinceMs: number): number {
  return heldFromMs + Math.floor((sinceMs - heldEpochMs) / 1000);
}

/** @returns since when a job with this score is held, in epoch milliseconds; `undefined` when it is not held */
export function heldSinceMs(score: number): number | undefined {
  if (!(score >= heldFromScore)) return undefined;
  return heldEpochMs + (dueMsOf(score) - heldFromMs) * 1000;
}

/** @param dueMs  epoch milliseconds, whole */
export function scoreOf(dueMs: number): number {
  return dueMs * delayedScoreFactor;
}

export function dueMsOf(score: number): number {
  return Math.floor(score / delayedScoreFactor);
}
