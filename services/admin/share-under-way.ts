/**
 * One call serves all who ask while it is under way: the status of the gateway asks for the services twice at once, for
 * their rows and for the readiness.
 */
export function shareUnderWay<T>(call: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () => {
    underWay ??= call().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}
