/** Every fault that a run may have. */
import type { Disk } from "../gateway/disk.ts";
import type { Shim } from "../shim/shim.ts";
import { setClock } from "./clock.ts";
import { flipBit, tearRecord } from "./damage.ts";
import { failDisk, fillDisk } from "./disk.ts";
import { breakDns, lieInDns } from "./dns.ts";
import type { FaultKindOf } from "./fault.ts";
import { operate } from "./operators.ts";
import { killProcess, stopProcess } from "./processes.ts";
import { fillRedis, flushRedis, killRedis, restoreOldDump, stopRedis } from "./redis.ts";
import { reload } from "./reload.ts";

/** @param shim  or the reason why there is none */
export function allFaults(shim: Shim | string, disk: Disk): FaultKindOf[] {
  return [
    killProcess,
    stopProcess,
    killRedis,
    stopRedis,
    flushRedis,
    restoreOldDump,
    fillRedis,
    fillDisk(disk),
    failDisk(shim),
    tearRecord,
    flipBit,
    setClock(shim),
    breakDns,
    lieInDns,
    operate,
    reload,
  ];
}
