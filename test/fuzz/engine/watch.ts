/** The watchdog: runs a target in a thread of its own, and ends it when one input takes too long or too much memory. */
import { Worker } from "node:worker_threads";
import { maxShared, type Order, type Outcome, sharedHead } from "./order.ts";

export interface WatchOptions {
  /** How long one input may take: only what hangs takes longer, however busy the machine is. */
  stallMs?: number;
  memoryMb?: number;
}

export function watch(
  order: Order,
  { stallMs = 30_000, memoryMb = 512 }: WatchOptions = {},
): Promise<Outcome> {
  const shared = new SharedArrayBuffer(sharedHead + maxShared);
  const [counter, length] = [new Int32Array(shared, 0, 1), new Int32Array(shared, 4, 1)];
  const current = () => Uint8Array.from(new Uint8Array(shared, sharedHead, Atomics.load(length, 0)));
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData: { order, shared },
    resourceLimits: { maxOldGenerationSizeMb: memoryMb },
  });
  return new Promise((resolve) => {
    let seen = -1;
    let sinceMs = performance.now();
    const timer = setInterval(() => {
      const now = Atomics.load(counter, 0);
      if (now !== seen) [seen, sinceMs] = [now, performance.now()];
      else if (performance.now() - sinceMs > stallMs)
        end({ kind: "failed", what: `hang: no end after ${stallMs / 1000} s`, input: current(), runs: now });
    }, 100);
    const end = (outcome: Outcome) => {
      clearInterval(timer);
      void worker.terminate().then(() => resolve(outcome));
    };
    worker.once("message", end);
    worker.once("error", (error: NodeJS.ErrnoException) =>
      end({
        kind: "failed",
        what: error.stack ?? String(error),
        input: current(),
        runs: Atomics.load(counter, 0),
      }),
    );
  });
}
