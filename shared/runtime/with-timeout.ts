/**
 * Bounds the time of asynchronous work. Each call owns one timer and clears it when it returns. An answer counts that
 * had arrived in time but was not read because this process was busy: before the time-out strikes, what the sockets have
 * is read once more.
 */

/** The work took too long. It is not cancelled: whether it still succeeds is not known. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

/**
 * @param late  makes the error to throw when `work` takes longer than `ms` milliseconds
 * @throws what `work` throws, or `late()`
 */
export async function withTimeout<T>(
  work: Promise<T>,
  ms: number,
  late: () => Error = () => new TimeoutError(`no answer within ${ms} ms`),
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => setImmediate(() => reject(late())), ms);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `work` succeeds or fails, for at most `ms` milliseconds. @returns whether it ended in time */
export async function settlesWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const ended = work.then(
    () => true,
    () => true,
  );
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<false>((resolve) => {
    timer = setTimeout(() => setImmediate(() => resolve(false)), ms);
  });
  try {
    return await Promise.race([ended, limit]);
  } finally {
    clearTimeout(timer);
  }
}
