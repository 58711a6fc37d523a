/**
 * How many jobs the workers of a process have at once, over all shards: a permit for each job, given to workers in the order
 * in which they ask, so that each shard gets its share. Pure but for its own state.
 */

export class SharedConcurrency {
  /** How many jobs there may be at once. */
  readonly limit: number;
  #free: number;
  /** Workers that wait for a permit, in their order. */
  readonly #waiting = new Map<object, (isGiven: boolean) => void>();

  constructor(limit: number) {
    this.limit = limit;
    this.#free = limit;
  }

  /** Whether a worker waits for a permit. */
  get isWanted(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Takes a permit, which give() ends. A worker waits for one at a time.
   * @returns false when the wait was cancelled
   */
  async take(worker: object): Promise<boolean> {
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    return new Promise((resolve) => this.#waiting.set(worker, resolve));
  }

  give(): void {
    for (const [worker, resolve] of this.#waiting) {
      this.#waiting.delete(worker);
      resolve(true);
      return;
    }
    this.#free++;
  }

  /** Ends the wait of this worker, if it waits, without a permit. */
  cancel(worker: object): void {
    this.#waiting.get(worker)?.(false);
    this.#waiting.delete(worker);
  }
}
