/** Stops the programs of an interrupted benchmark, the last one first, before the benchmark exits. */

const running = new Set<() => Promise<void>>();

/** @returns `stop` for the caller; an interruption calls it unless the caller has */
export function orInterrupted(stop: () => Promise<void>): () => Promise<void> {
  const once = async () => {
    running.delete(once);
    await stop();
  };
  running.add(once);
  return once;
}

async function stopAll(status: number): Promise<void> {
  for (const stop of [...running].reverse()) {
    await stop().catch((error: Error) => console.error(error.message));
  }
  process.exit(status);
}

process.once("SIGINT", () => void stopAll(130));
process.once("SIGTERM", () => void stopAll(143));
