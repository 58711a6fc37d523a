/** Why work that is under way is ended before its time: the reason of its AbortSignal. Pure. */

export type Interruption =
  /** The process stops, and its grace time is over. */
  | "stopping"
  /** Another worker has the job. */
  | "lost";

/** @returns `undefined` while the work may go on */
export function interruptionOf(signal: AbortSignal): Interruption | undefined {
  if (!signal.aborted) return undefined;
  return signal.reason === "stopping" ? "stopping" : "lost";
}

/**
 * How long after the stop signal work ends that would do harm if it were cut: a message that has been sent whole, whose
 * reply is awaited. Cut there, it would be sent again.
 */
export function longestStopMs(graceMs: number): number {
  return 2 * graceMs;
}
