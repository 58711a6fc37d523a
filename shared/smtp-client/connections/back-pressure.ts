/**
 * Back-pressure of a destination that has no connection to give: which requests wait for one in this process, and when
 * the jobs of the others come back. Pure.
 */

/** A request waits in this process for so long at most; then its job makes room for others. */
export const maxWaitMs = 1000;
/** When a destination is full, its jobs come back one after another as it can take them, within these bounds. */
export const minRetryMs = 500;
const maxRetryMs = 300_000;
/**
 * An estimate of one second's standing does not decide about the next five minutes: retry times reach no farther ahead
 * than this, and as far again as the destination has been known.
 */
const firstHorizonMs = 1_000;
/** While a destination has not answered at all, each of its jobs that comes back costs the others, and gets nothing. */
const unansweredReach = 5;
/** A destination that is busy with a message for longer than this may not fill a priority class with waiting jobs. */
const slowMs = 1000;

/** How busy a destination is, as this process knows it. */
export interface DestinationLoad {
  /** The destination's limit. */
  connections: number;
  /** Connections that are in use here, or being closed. */
  ours: number;
  /** Requests that would be served before. */
  waiting: number;
  /** Average time that a message takes here; undefined until one has ended. */
  busyMs: number | undefined;
  /** The same of other processes, as of when they had all connections; undefined when they had not. */
  othersBusyMs: number | undefined;
}

/**
 * Whether a connection is likely to come free within the time that a request may wait.
 * @param hasRoom  whether one more job of the priority class may wait for this destination
 */
export function isWorthWaiting(load: DestinationLoad, hasRoom: () => boolean): boolean {
  const { connections, ours, waiting, othersBusyMs } = load;
  const busyMs = load.busyMs ?? othersBusyMs;
  // A fast destination that we have connections to empties the wait queue as fast as it fills; any other gets a share.
  if ((busyMs === undefined || busyMs > slowMs || ours === 0) && !hasRoom()) return false;
  // A first message is under way: soon more is known.
  if (busyMs === undefined) return ours > 0;
  const supply = ours > 0 ? ours : othersBusyMs === undefined ? 0 : connections;
  return supply > 0 && (waiting + 1) * busyMs <= maxWaitMs * supply;
}

/** When a job comes back that could not wait; times relative to now, in milliseconds. */
export type RetryTime =
  /** Any time in between. */
  | { kind: "spread"; earliestMs: number; latestMs: number }
  /** The destination's next free retry slot. */
  | { kind: "slot"; eachMs: number; earliestMs: number; horizonMs: number };

/** @param knownForMs  since when the destination is known to this process, or since it answered first */
export function retryTime(
  { connections, busyMs, othersBusyMs }: Pick<DestinationLoad, "connections" | "busyMs" | "othersBusyMs">,
  knownForMs: number,
): RetryTime {
  const eachBusyMs = busyMs ?? othersBusyMs;
  if (eachBusyMs === undefined) {
    // Nobody knows how fast it is: a sequence of slots would keep its mail from it for longer than it needs.
    const spreadMs = Math.min(maxRetryMs, firstHorizonMs + unansweredReach * knownForMs);
    return { kind: "spread", earliestMs: minRetryMs, latestMs: minRetryMs + spreadMs };
  }
  return {
    kind: "slot",
    eachMs: eachBusyMs / connections,
    earliestMs: minRetryMs,
    horizonMs: Math.min(maxRetryMs, firstHorizonMs + knownForMs),
  };
}
