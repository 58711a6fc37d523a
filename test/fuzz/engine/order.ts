/** What a run is asked to do, and what it says: the messages between the watchdog and the thread that it watches. */

export interface Order {
  target: string;
  seed: number;
  /** Mutated inputs at most; absent: until the time is over. */
  runs?: number;
  /** Of each property. */
  cases: number;
  forMs?: number;
  /** Leave out the long inputs, which no seed changes. */
  skipsLong?: boolean;
  /** Follow the coverage, and look for time that grows faster than the input. */
  explores: boolean;
  /** Only this input. */
  only?: Buffer;
  /** A guard of guards.ts to take out first. */
  without?: string;
}

export type Outcome =
  | { kind: "passed"; runs: number; cases: number; blocks: number; reached: Uint8Array[] }
  /** @property input  absent: a property failed, and `what` says with which value */
  | { kind: "failed"; what: string; input?: Uint8Array; runs: number };

/** Octets of an input that the watchdog can see. */
export const maxShared = 2 * 2 ** 20;
/** A counter that moves with each input, and the input's length, before the input itself. */
export const sharedHead = 8;
