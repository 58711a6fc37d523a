/** The watchdog: runs a target in a thread of its own, and ends it when one input takes too long or too much memory. */
import { Worker } from "node:worker_threads";
import { maxShared, type Order, type Outcome, sharedHead } from "./order.ts";

export interface WatchOptions {
  /** How much CPU time one input may take: only what hangs takes more, however busy the machine is. */
  stallMs?: number;
  memoryMb?: number;
}

/** One that hangs without taking CPU time ends after so many times `stallMs`. */
const idleFactor = 6;

/** Of all threads of this process: one of them works. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
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
    let since = { cpuMs: cpuMs(), ms: performance.now() };
    const timer = setInterval(() => {
      const now = Atomics.load(counter, 0);
      const at = { cpuMs: cpuMs(), ms: performance.now() };
      if (now !== seen) [seen, since] = [now, at];
      else if (at.cpuMs - since.cpuMs > stallMs || at.ms - since.ms > idleFactor * stallMs)
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
