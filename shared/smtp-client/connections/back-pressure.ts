/** When a destination has no connection to give: who waits for one here, and when those come back who do not. Pure. */

/** A message waits for its turn in this process at most so long; then its job makes room for others. */
export const maxWaitMs = 1000;
/** When a destination is full, its jobs come back one after another as it can take them, within these bounds. */
export const minRetryMs = 500;
const maxRetryMs = 300_000;
/** What is known since a second says little about the next five minutes: turns reach so many times as far ahead as back. */
const firstHorizonMs = 1_000;
const reach = 1;
/** Of a destination that has not answered anybody: each of its jobs that comes back costs the others, and gets nothing. */
const unansweredReach = 5;
/** A destination whose loans take longer on average may not fill a lane with jobs that wait for it. */
const slowMs = 1000;

/** Who wants what of a destination, in this process. */
export interface DestinationLoad {
  /** The destination's limit. */
  connections: number;
  /** Connections that are in use here, or being closed. */
  ours: number;
  /** Those who wait already. */
  waiting: number;
  /** Average time that a message takes here; undefined until one has ended. */
  busyMs: number | undefined;
  /** The same of other processes, as of when they had all connections; undefined when they had not. */
  othersBusyMs: number | undefined;
}

/**
 * Whether a connection is likely to come free within the time that a message may wait.
 * @param hasRoom  whether the lane has a place for one more that waits for this destination
 */
export function isWorthWaiting(load: DestinationLoad, hasRoom: () => boolean): boolean {
  const { connections, ours, waiting, othersBusyMs } = load;
  const busyMs = load.busyMs ?? othersBusyMs;
  // A fast destination empties a lane as quickly as it fills it, if it is ours to do so; any other may not have all of it.
  if ((busyMs === undefined || busyMs > slowMs || ours === 0) && !hasRoom()) return false;
  // Soon more is known.
  if (busyMs === undefined) return ours > 0;
  const supply = ours > 0 ? ours : othersBusyMs === undefined ? 0 : connections;
  return supply > 0 && (waiting + 1) * busyMs <= maxWaitMs * supply;
}

/** When a job comes back that could not wait; times relative to now, in milliseconds. */
export type Return =
  /** Any time in between. */
  | { kind: "spread"; earliestMs: number; latestMs: number }
  /** At the next free place of the destination's line. */
  | { kind: "turn"; eachMs: number; earliestMs: number; horizonMs: number };

/** @param knownForMs  since when the destination is known to this process, or since it answered first */
export function returnOf(
  { connections, busyMs, othersBusyMs }: Pick<DestinationLoad, "connections" | "busyMs" | "othersBusyMs">,
  knownForMs: number,
): Return {
  const eachBusyMs = busyMs ?? othersBusyMs;
  if (eachBusyMs === undefined) {
    // Nobody knows how fast it is: a line would keep its mail from it for longer than it needs.
    const spreadMs = Math.min(maxRetryMs, firstHorizonMs + unansweredReach * knownForMs);
    return { kind: "spread", earliestMs: minRetryMs, latestMs: minRetryMs + spreadMs };
  }
  return {
    kind: "turn",
    eachMs: eachBusyMs / connections,
    earliestMs: minRetryMs,
    horizonMs: Math.min(maxRetryMs, firstHorizonMs + reach * knownForMs),
  };
}
