/** Which of the jobs that a scan misses go to which delivery queue, and which wait until Redis has room. Pure. */
import { jobCountOf, type Needs } from "./needs.ts";
import { octetsOfJob } from "./room.ts";

/** Work for a worker process for a second: it does not idle while a scan looks for more. */
const restoredAhead = 200;

/**
 * Accepted so short a time before the scan, a message may be one whose publisher has just not come yet. After a loss of
 * Redis it may as well be one of a burst before the loss, so that only so many go ahead of the others.
 */
const recentMs = 10_000;
const recentAhead = 500;
/** Clocks of hosts differ by less. What seems to come from later than that was accepted before the clock was set back. */
const clockSkewMs = 10_000;

/** The job of one recipient group. */
export interface MissingGroup {
  needs: Needs;
  /** Number of the group. */
  group: number;
}

export interface Shares {
  /** Jobs for `delivery`. */
  ahead: MissingGroup[];
  /** Jobs for `delivery-slow`, whose workers take nothing from fresh mail. */
  behind: MissingGroup[];
  /** Messages that get all their jobs now. */
  now: Needs[];
  /** Messages that wait in the spool, in the order in which the scan met them. */
  later: Needs[];
  /** Jobs that were restored as far as there was room. */
  restored: number;
}

export interface ScanMoment {
  /** When the scan began, and now; epoch milliseconds. */
  startedMs: number;
  nowMs: number;
  /** Jobs that wait in `delivery` now. */
  waiting: number;
  /** Octets of Redis' memory for restored mail. One message alone may take more, unless it is 0. */
  room: number;
}

/**
 * A scan may find a million, and fresh mail must neither wait behind them nor be refused for them.
 * - What was accepted during the scan goes to `delivery`: it is fresh, and its publisher adds the same job at this moment.
 * - What was accepted shortly before goes there as well, while few jobs wait there.
 * - All else is restored as far as there is room: a few jobs into `delivery`, the others into `delivery-slow`. From the
 *   first message on that does not fit, it waits in the spool.
 */
export function shareOut(missing: readonly Needs[], { startedMs, nowMs, waiting, room }: ScanMoment): Shares {
  const shares: Shares = { ahead: [], behind: [], now: [], later: [], restored: 0 };
  let waits = waiting;
  let octets = 0;
  for (const needs of missing) {
    const { receivedAtMs } = needs.message.meta;
    const isOfTheFuture = receivedAtMs > nowMs + clockSkewMs;
    const isNew = receivedAtMs >= startedMs && !isOfTheFuture;
    const isRecent = receivedAtMs >= startedMs - recentMs && !isOfTheFuture && waits < recentAhead;
    if (!isNew && !isRecent) {
      const jobs = jobCountOf(needs);
      octets += octetsInRedis(needs, jobs);
      const fits = shares.restored === 0 ? room > 0 : octets <= room;
      if (shares.later.length > 0 || !fits) {
        shares.later.push(needs);
        continue;
      }
      shares.restored += jobs;
    }
    shares.now.push(needs);
    const most = isNew ? Number.POSITIVE_INFINITY : isRecent ? recentAhead : restoredAhead;
    for (const group of needs.groups) {
      const isAhead = waits < most;
      shares[isAhead ? "ahead" : "behind"].push({ needs, group });
      if (isAhead) waits++;
    }
  }
  return shares;
}

function octetsInRedis({ message }: Needs, jobs: number): number {
  return message.meta.envelope.recipients.reduce(
    (octets, { address }) => octets + address.length,
    jobs * octetsOfJob,
  );
}
