/**
 * Priority classes of mail, and what one destination may take of a class: half of its jobs, so that a slow destination
 * leaves the others to the rest of the mail. Of a destination's connections slow mail gets three quarters at most, and
 * inline delivery half, of which one client gets three quarters.
 */

/** Jobs of one queue, which compete for the same attempts of a process; or the inline deliveries of a process. */
export interface PriorityClass {
  name: string;
  /** At once. */
  jobs: number;
  /** Its mail has been deferred before: it leaves a share of each destination's connections to fresh mail. */
  isSlow: boolean;
  /** Its clients wait, and decide how long a connection is in use. */
  isInline?: boolean;
}

/** As many at once as there are sessions. */
export const inlineClass: PriorityClass = {
  name: "inline",
  jobs: Number.POSITIVE_INFINITY,
  isSlow: false,
  isInline: true,
};

/** Of the jobs of a priority class, those that one destination may keep busy. */
const destinationShare = 1 / 2;
/** Of a destination's connections, those that slow mail may have. */
const slowShare = 3 / 4;
const inlineShare = 1 / 2;
/** Of the connections that inline delivery may have, those that one client may have in a process. */
const clientShare = 3 / 4;

/** How many of a destination's connections a priority class may have. */
export function connectionsFor(priorityClass: PriorityClass | undefined, connections: number): number {
  const { isSlow = false, isInline = false } = priorityClass ?? {};
  return Math.ceil(connections * (isInline ? inlineShare : isSlow ? slowShare : 1));
}

/** How many of a destination's connections the inline deliveries of one client may have in a process. */
export function connectionsForClient(connections: number): number {
  return Math.ceil(connectionsFor(inlineClass, connections) * clientShare);
}

/** How many jobs of each priority class are busy with one destination. Jobs without a class are not counted. */
export class BusyJobs {
  readonly #counts = new Map<string, number>();

  /** Whether so many more may join. */
  hasRoom(priorityClass: PriorityClass | undefined, more = 1): boolean {
    if (priorityClass === undefined) return true;
    const most = Math.max(1, Math.ceil(priorityClass.jobs * destinationShare));
    return this.count(priorityClass) + more <= most;
  }

  count(priorityClass: PriorityClass | undefined): number {
    return priorityClass === undefined ? 0 : (this.#counts.get(priorityClass.name) ?? 0);
  }

  enter(priorityClass: PriorityClass | undefined): void {
    if (priorityClass !== undefined) this.#counts.set(priorityClass.name, this.count(priorityClass) + 1);
  }

  leave(priorityClass: PriorityClass | undefined): void {
    if (priorityClass !== undefined) this.#counts.set(priorityClass.name, this.count(priorityClass) - 1);
  }
}
