/** Every fault that a run may have. */
import type { FaultKindOf } from "./fault.ts";
import { killProcess, stopProcess } from "./processes.ts";
import { fillRedis, flushRedis, killRedis, restoreOldDump, stopRedis } from "./redis.ts";

export const allFaults: FaultKindOf[] = [
  killProcess,
  stopProcess,
  killRedis,
  stopRedis,
  flushRedis,
  restoreOldDump,
  fillRedis,
];
