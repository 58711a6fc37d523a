/** How much of a process one destination may keep busy, so that a slow one leaves the process to the others. */

/** Jobs that compete for the same part of a process. */
export interface PriorityClass {
  name: string;
  /** At once. */
  jobs: number;
  /** Its mail has waited before: it leaves a part of each destination's connections to fresh mail. */
  isSlow: boolean;
}

/** The part of a lane that the connections of one destination may have. */
const destinationShare = 1 / 2;
/** The part of a destination's connections that slow mail may have. */
const slowShare = 3 / 4;

/** Of a destination's connections, as many as a lane may have. */
export function connectionsFor(priorityClass: PriorityClass | undefined, connections: number): number {
  return priorityClass?.isSlow === true ? Math.ceil(connections * slowShare) : connections;
}

/** Jobs of a lane that are busy with a destination. */
export class QueueShares {
  readonly #busy = new Map<string, number>();

  /** Whether so many more may join. */
  hasRoom(priorityClass: PriorityClass | undefined, destination: string, more = 1): boolean {
    if (priorityClass === undefined) return true;
    const most = Math.max(1, Math.ceil(priorityClass.jobs * destinationShare));
    return this.busy(priorityClass, destination) + more <= most;
  }

  /** Jobs of the lane that are busy with the destination. */
  busy(priorityClass: PriorityClass | undefined, destination: string): number {
    return priorityClass === undefined ? 0 : (this.#busy.get(keyOf(priorityClass, destination)) ?? 0);
  }

  enter(priorityClass: PriorityClass | undefined, destination: string): void {
    if (priorityClass === undefined) return;
    const key = keyOf(priorityClass, destination);
    this.#busy.set(key, (this.#busy.get(key) ?? 0) + 1);
  }

  leave(priorityClass: PriorityClass | undefined, destination: string): void {
    if (priorityClass === undefined) return;
    const key = keyOf(priorityClass, destination);
    const left = (this.#busy.get(key) ?? 1) - 1;
    if (left === 0) this.#busy.delete(key);
    else this.#busy.set(key, left);
  }
}

function keyOf(priorityClass: PriorityClass, destination: string): string {
  return `${priorityClass.name} ${destination}`;
}
