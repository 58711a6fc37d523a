/** A disk that is full, and a disk whose calls fail: of the spool, and of Redis beside it. */
import type { Disk } from "../gateway/disk.ts";
import type { FailingCall, Shim } from "../shim/shim.ts";
import type { FaultKindOf } from "./fault.ts";
import { lasting } from "./pause.ts";

const megabyte = 1024 * 1024;

export function fillDisk(disk: Disk): FaultKindOf {
  return {
    name: "disk-full",
    weight: 2,
    needsMs: 8_000,
    ...(disk.unavailable === undefined ? {} : { unavailable: disk.unavailable }),
    async happen({ recorder, ending }, random) {
      // Below 64 MB the gateway refuses mail; below nothing it cannot even record what servers answered.
      const freeBytes = random.pick([0, 200_000, 30 * megabyte]);
      const what = {
        kind: "fault",
        fault: "disk-full",
        target: "disk",
        detail: `${freeBytes} octets free`,
      } as const;
      recorder.record(what);
      disk.leaveFree(freeBytes);
      await lasting(random.between(3_000, 15_000), ending);
      disk.empty();
      recorder.record({ ...what, ended: true });
    },
  };
}

export function failDisk(shim: Shim | string): FaultKindOf {
  return {
    name: "disk-error",
    weight: 2,
    needsMs: 6_000,
    ...(typeof shim === "string" ? { unavailable: shim } : {}),
    async happen({ recorder, ending }, random) {
      if (typeof shim === "string") return;
      const call = random.pick<FailingCall>(["write", "sync", "read"]);
      const often = random.pick([50, 500, 1000]);
      const what = {
        kind: "fault",
        fault: "disk-error",
        target: call,
        detail: `EIO of ${often} in 1000 calls`,
      } as const;
      recorder.record(what);
      shim.failDisk(call, "EIO", often);
      await lasting(random.between(1_000, 8_000), ending);
      shim.healDisk();
      recorder.record({ ...what, ended: true });
    },
  };
}
