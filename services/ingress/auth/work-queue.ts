/** Expensive work, a little at a time: so many at once, so many that wait, and no more. */

export interface WorkQueueOptions {
  atOnce: number;
  waiting: number;
}

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** @returns what the work returns, or `undefined` when too many wait already */
  run<T>(work: (hasWaited: boolean) => Promise<T>): Promise<T> | undefined {
    if (this.#running < this.#options.atOnce) return this.#start(work, false);
    if (this.#waiting.length >= this.#options.waiting) return undefined;
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => this.#start(work, true).then(resolve, reject));
    });
  }

  async #start<T>(work: (hasWaited: boolean) => Promise<T>, hasWaited: boolean): Promise<T> {
    this.#running++;
    try {
      return await work(hasWaited);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }
}
