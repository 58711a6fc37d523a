/**
 * What a destination, or a client, may have: how many connections at once, how many messages in a time, and no attempts
 * for a while where no host answers. local-limiter.ts keeps these limits for one process, cluster-limiter.ts for all
 * processes that share a Redis.
 */
import type { Rate } from "../config/values.ts";
import type { Diagnosis } from "../smtp/diagnosis.ts";

/** The permission to have one connection open. */
export interface Slot {
  /** Harmless when repeated. */
  release(): void;
}

export interface SlotRequest {
  /** The name that the limit is counted under. */
  destination: string;
  /** The destination's limit: at once. */
  connections: number;
  /** Where the request may have a share of them only: it gets none while so many are in use. Absent: all. */
  share?: number;
  /** The hosts that have to answer, as reachabilityKeyOf() names them; absent: it is not remembered whether they do. */
  reachabilityKey?: string;
  /** Ask even where no host answered lately. */
  ignoreDeadCache?: boolean;
}

export type SlotAnswer =
  | { kind: "slot"; slot: Slot }
  /** The destination has all that it may have. @property busyMs  that a message takes in other processes, if known */
  | { kind: "full"; busyMs?: number }
  /** No host of it answered lately: how that attempt ended. */
  | { kind: "dead"; diagnosis: Diagnosis };

export interface RetrySlotRequest {
  /** The time that one job takes. */
  eachMs: number;
  /** No job comes back sooner. */
  earliestMs: number;
  /** No job is sent farther away than about that: what is promised for later is a guess. */
  horizonMs: number;
}

export interface Limiter {
  takeSlot(request: SlotRequest): SlotAnswer | Promise<SlotAnswer>;
  /**
   * The server has refused a connection and said that it may be too many: it gets fewer for a while.
   * @returns false where it has no other connection: the refusal has another reason, and nothing changes
   */
  reportFull(destination: string, connections: number): boolean | Promise<boolean>;
  /** Whether other processes have less than their share: a connection that its message leaves is to be closed. */
  exceedsShare(destination: string): boolean;
  /** Counts one message against the rate. @returns milliseconds to wait instead, 0 when it may go now */
  admitMessage(destination: string, rate: Rate): number | Promise<number>;
  /** Takes back what admitMessage() counted: the message was not sent after all. */
  refundMessage(destination: string, rate: Rate): void;
  /**
   * When a job comes back that cannot go now: all jobs of a retry queue get times of their own, `eachMs` apart.
   * @returns epoch milliseconds
   */
  takeRetrySlot(retryQueue: string, request: RetrySlotRequest): number | Promise<number>;
  /** A host has answered: the destination is alive. @param tookMs  the whole attempt */
  reportAnswer(destination: string, reachabilityKey: string, tookMs: number): void;
  /** No host answered an attempt that began at `startedMs` (epoch milliseconds). */
  reportNoAnswer(destination: string, reachabilityKey: string, diagnosis: Diagnosis, startedMs: number): void;
}

/** How long one message of a rate takes, and how far ahead of an even pace messages may be. */
export function paceOf({ count, periodMs, burst = count }: Rate): { shareMs: number; aheadMs: number } {
  const shareMs = periodMs / count;
  return { shareMs, aheadMs: burst * shareMs };
}

/** @param free  called at the first release */
export function createSlot(free: () => void): Slot {
  let isReleased = false;
  return {
    release() {
      if (isReleased) return;
      isReleased = true;
      free();
    },
  };
}

/** From how many connections in use on the request gets none. @param bearable  what the destination bears at most */
export function shareOf({ connections, share = connections }: SlotRequest, bearable: number): number {
  return bearable < connections ? Math.ceil((bearable * share) / connections) : share;
}
