/** One run for everybody who asked before it began. */

/**
 * Calls of the result never run `work` twice at a time. A call while it runs waits for the run after it,
 * so that what happened before the call is always covered by what the caller waited for.
 */
export function coalesced(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let following: Promise<void> | undefined;
  const start = (): Promise<void> => {
    const run = work().finally(() => {
      if (running === run) running = undefined;
    });
    running = run;
    return run;
  };
  return () => {
    if (following !== undefined) return following;
    if (running === undefined) return start();
    following = running
      .catch(() => {})
      .then(() => {
        following = undefined;
        return start();
      });
    return following;
  };
}
