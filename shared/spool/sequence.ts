/** Work that must not overlap with itself: runs that are shared, or runs in sequence. */

/**
 * Calls of the result never run `work` twice at a time. All calls during a run share one further run that begins
 * after it, so the run that a caller waits for covers everything that happened before its call.
 */
export function coalesced(work: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    const run = work().finally(() => {
      if (current === run) current = undefined;
    });
    current = run;
    return run;
  };
  return () => {
    if (next !== undefined) return next;
    if (current === undefined) return start();
    next = current
      .catch(() => {})
      .then(() => {
        next = undefined;
        return start();
      });
    return next;
  };
}

/** Starts each piece of work when the one before it has ended, with or without success. */
export class Sequence {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(work);
    this.#last = run.catch(() => {});
    return run;
  }

  /** Resolves when all work that was started so far has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
