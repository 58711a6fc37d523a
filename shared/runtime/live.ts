/**
 * Values that a reload of the configuration replaces. Who starts a session or an attempt reads `current` once and passes
 * the value on, so that what is running ends as it began. Pure.
 */

export interface Live<T> {
  readonly current: T;
}

/** Puts in force what was made ready for a new configuration. Cannot fail. */
export type Commit = () => void;

export class LiveValue<T> implements Live<T> {
  #current: T;

  constructor(first: T) {
    this.#current = first;
  }

  get current(): T {
    return this.#current;
  }

  replace(next: T): void {
    this.#current = next;
  }
}
