/** Who of those that wait for a connection of one destination gets it: fresh mail never stands behind slow mail. */
import type { PriorityClass } from "../../limits/queue-shares.ts";

/** Who waits. */
interface Waiting {
  request: {
    /** What must be equal for a session to be shared. */
    key: string;
    priorityClass: PriorityClass | undefined;
    /** Of the destination's connections, as many as its lane may have. */
    share: number;
  };
}

/** How many connections of the destination a lane has in this process. */
type BusyOf = (priorityClass: PriorityClass | undefined) => number;

/** The place in the line for one of this lane that comes now. */
export function placeOf(queue: readonly Waiting[], priorityClass: PriorityClass | undefined): number {
  return isSlow(priorityClass)
    ? queue.length
    : queue.filter(({ request }) => !isSlow(request.priorityClass)).length;
}

/** Whether the lane's part has room for one more; elsewhere than in this process nobody is counted. */
export function hasShare({ priorityClass, share }: Waiting["request"], busyOf: BusyOf): boolean {
  return busyOf(priorityClass) < share;
}

/**
 * Who goes on with the session that a message leaves. Slow mail that has none gets that of a fresh message, or a
 * destination that is always busy with fresh mail would keep it for ever.
 */
export function heirOf<W extends Waiting>(
  queue: readonly W[],
  { key, priorityClass }: Omit<Waiting["request"], "share">,
  busyOf: BusyOf,
): W | undefined {
  const heirs = queue.filter(({ request }) => request.key === key && hasShare(request, busyOf));
  const slow = isSlow(priorityClass)
    ? undefined
    : heirs.find(({ request }) => isSlow(request.priorityClass) && busyOf(request.priorityClass) === 0);
  return slow ?? heirs[0];
}

function isSlow(priorityClass: PriorityClass | undefined): boolean {
  return priorityClass?.isSlow === true;
}
