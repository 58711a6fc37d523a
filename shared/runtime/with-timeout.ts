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
export function withTimeout<T>(
  work: Promise<T>,
  ms: number,
  late: () => Error = () => new TimeoutError(`no answer within ${ms} ms`),
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(late())), ms);
    work.then(
      (result) => {
        clearTimeout(timer);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Waits until `work` succeeds or fails, for at most `ms` milliseconds. @returns whether it ended in time */
export function settlesWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => setImmediate(() => resolve(false)), ms);
    const end = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    work.then(end, end);
  });
}
