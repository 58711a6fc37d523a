/** Ctrl-C while a command waits for something that goes on without it. */

/** @returns whether the promise settled before Ctrl-C; @throws what the promise rejects with */
export async function unlessInterrupted<T>(promise: Promise<T>): Promise<{ value: T } | undefined> {
  const interrupted = Promise.withResolvers<undefined>();
  const onSignal = (): void => interrupted.resolve(undefined);
  process.once("SIGINT", onSignal);
  try {
    return await Promise.race([promise.then((value) => ({ value })), interrupted.promise]);
  } finally {
    process.removeListener("SIGINT", onSignal);
  }
}
