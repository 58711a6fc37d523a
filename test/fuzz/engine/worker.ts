/** The thread that the watchdog watches: loads a target, perhaps without one of the guards, and runs it. */
import { parentPort, workerData } from "node:worker_threads";
import { guards, takeOut } from "../guards.ts";
import { explore, type Run } from "./explore.ts";
import { maxShared, type Order, sharedHead } from "./order.ts";
import type { Target } from "./target.ts";

const { order, shared } = workerData as { order: Order; shared: SharedArrayBuffer };
const counter = new Int32Array(shared, 0, 1);
const length = new Int32Array(shared, 4, 1);
const octets = new Uint8Array(shared, sharedHead);

if (order.without !== undefined) {
  const guard = guards[order.without];
  if (guard === undefined) throw new Error(`no guard "${order.without}"`);
  takeOut(guard);
}
const { default: target } = (await import(
  new URL(`../targets/${order.target}.ts`, import.meta.url).href
)) as {
  default: Target;
};

/** Shows the input to the watchdog, then runs it. */
const run: Run = (input) => {
  octets.set(input.subarray(0, maxShared));
  Atomics.store(length, 0, Math.min(input.length, maxShared));
  Atomics.add(counter, 0, 1);
  return target.check(Buffer.from(input));
};

parentPort?.postMessage(await explore(order, target, run));
