/**
 * Which of two settlements of one recipient counts (pure), the same whatever order they are read in:
 * logs of several processes are merged, rewritten and read again.
 */
import { isSettled, type RecipientState } from "./spool.ts";

/** What became of some recipients of one message, and when. Shared between messages, hence never changed. */
export interface StatusEntry {
  readonly recipients: readonly number[];
  readonly state: RecipientState;
  /** See `StampClock`. */
  readonly timestamp: number;
}

export interface StampedState {
  readonly state: RecipientState;
  readonly timestamp: number;
}

/** Of two that are both warnings, or neither: the later one, except that what is settled never becomes unsettled again. */
export function winner(current: StampedState | undefined, next: StampedState): StampedState {
  if (current === undefined) return next;
  const settled = isSettled(current.state);
  if (settled !== isSettled(next.state)) return settled ? current : next;
  return next.timestamp >= current.timestamp ? next : current;
}

/** Whoever notes a warning does not work on the recipient, who may have failed meanwhile: the note is kept apart. */
export function isWarning(state: RecipientState): boolean {
  return state.kind === "pending" && state.warned === true;
}

/** Whether a warning is more than the recipient's state says. A later `pending` begins anew: it was put back. */
export function outlives(warning: StampedState, standing: StampedState | undefined): boolean {
  return (
    standing === undefined || (standing.state.kind === "pending" && warning.timestamp >= standing.timestamp)
  );
}

/**
 * Microseconds since the epoch, made to rise with every call and above every stamp seen from other processes
 * (a hybrid logical clock, Kulkarni et al. 2014): what answers another process' settlement is later than it,
 * even where the clocks of two hosts differ.
 */
export class LogicalClock {
  #last = 0;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  next(): number {
    this.#last = Math.max(this.#last + 1, Math.floor(this.#nowMs() * 1000));
    return this.#last;
  }

  observe(timestamp: number): void {
    if (timestamp > this.#last) this.#last = timestamp;
  }
}
