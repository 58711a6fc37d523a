/** A wait that the end of the run cuts short. */
import { setTimeout as wait } from "node:timers/promises";

export async function lasting(ms: number, ending: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal: ending }).catch(() => {});
}
