/**
 * What a destination, or a client, may have: how many connections at once, how many messages in a time, and no attempts
 * for a while where no host answers. local-limiter.ts keeps these limits for one process, cluster-limiter.ts for all
 * processes that share a Redis.
 */
import type { Rate } from "../config/values.ts";
import type { Diagnosis } from "../smtp/diagnosis.ts";

export interface Slot {
  /** Harmless when repeated. */
  release(): void;
}

/** A wish for one connection. */
export interface SlotRequest {
  /** The name that the limit is counted under. */
  destination: string;
  /** The destination's limit: at once. */
  connections: number;
  /** It gets none while so many are in use already, where it has a part in them only; absent: all. */
  share?: number;
  /** The hosts that have to answer, as reachabilityKeyOf() names them; absent: nobody remembers whether they do. */
  reachabilityKey?: string;
  /** Ask even where nobody answered lately. */
  ignoreDeadCache?: boolean;
}

export type SlotAnswer =
  | { kind: "slot"; slot: Slot }
  /** The destination has all that it may have. @property busyMs  that a message takes those who have it, if known */
  | { kind: "full"; busyMs?: number }
  /** No host of it answered lately: how that attempt ended. */
  | { kind: "dead"; diagnosis: Diagnosis };

export interface Limiter {
  takeSlot(request: SlotRequest): SlotAnswer | Promise<SlotAnswer>;
  /** Counts one message against the rate. @returns milliseconds to wait instead, 0 when it may go now */
  admitMessage(destination: string, rate: Rate): number | Promise<number>;
  /** Gives back what admit() counted: the message was not sent after all. */
  refundMessage(destination: string, rate: Rate): void;
  /**
   * When one who cannot go now comes back: all who stand in line get times of their own, `eachMs` apart.
   * @param line  the name of the line; each has its own
   * @returns epoch milliseconds
   */
  takeRetrySlot(line: string, request: RetrySlotRequest): number | Promise<number>;
  /** A connection that comes free should be closed: other processes have less than their part. */
  exceedsShare(destination: string): boolean;
  /** A host of the path spoke to us: it is alive. @param tookMs  the whole attempt */
  reportAnswer(destination: string, reachabilityKey: string, tookMs: number): void;
  /** No host answered an attempt that began at `startedMs` (epoch milliseconds). */
  reportNoAnswer(destination: string, reachabilityKey: string, diagnosis: Diagnosis, startedMs: number): void;
}

export interface RetrySlotRequest {
  /** The time that one of the line takes. */
  eachMs: number;
  /** Nobody comes back sooner. */
  earliestMs: number;
  /** Nobody is sent farther away than about that: what is promised for later is a guess. */
  horizonMs: number;
}

export function shareOf({ connections, share = connections }: SlotRequest): number {
  return share;
}
