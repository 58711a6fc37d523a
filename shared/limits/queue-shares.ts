/** How much of a process one destination may keep busy, so that a slow one leaves the process to the others. */

/** Jobs that compete for the same part of a process. */
export interface Lane {
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
export function connectionsFor(lane: Lane | undefined, connections: number): number {
  return lane?.isSlow === true ? Math.ceil(connections * slowShare) : connections;
}

/** Jobs of a lane that are busy with a destination. */
export class LaneShares {
  readonly #busy = new Map<string, number>();

  /** Whether so many more may join. */
  hasRoom(lane: Lane | undefined, destination: string, more = 1): boolean {
    if (lane === undefined) return true;
    const most = Math.max(1, Math.ceil(lane.jobs * destinationShare));
    return this.busy(lane, destination) + more <= most;
  }

  /** Jobs of the lane that are busy with the destination. */
  busy(lane: Lane | undefined, destination: string): number {
    return lane === undefined ? 0 : (this.#busy.get(keyOf(lane, destination)) ?? 0);
  }

  enter(lane: Lane | undefined, destination: string): void {
    if (lane === undefined) return;
    const key = keyOf(lane, destination);
    this.#busy.set(key, (this.#busy.get(key) ?? 0) + 1);
  }

  leave(lane: Lane | undefined, destination: string): void {
    if (lane === undefined) return;
    const key = keyOf(lane, destination);
    const left = (this.#busy.get(key) ?? 1) - 1;
    if (left === 0) this.#busy.delete(key);
    else this.#busy.set(key, left);
  }
}

function keyOf(lane: Lane, destination: string): string {
  return `${lane.name} ${destination}`;
}
