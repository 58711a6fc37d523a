/** The clock of the whole machine is set by an hour, forward and back. */
import type { Shim } from "../shim/shim.ts";
import type { FaultKindOf } from "./fault.ts";
import { lasting } from "./pause.ts";

const hourMs = 3_600_000;

export function setClock(shim: Shim | string): FaultKindOf {
  return {
    name: "clock",
    weight: 1,
    needsMs: 8_000,
    ...(typeof shim === "string" ? { unavailable: shim } : {}),
    async happen({ recorder, ending }, random) {
      if (typeof shim === "string") return;
      const offsetMs = random.pick([hourMs, -hourMs]);
      const detail = offsetMs > 0 ? "an hour forward" : "an hour back";
      recorder.record({ kind: "fault", fault: "clock", target: "machine", detail });
      shim.setClock(offsetMs);
      await lasting(random.between(3_000, 20_000), ending);
      shim.setClock(0);
      recorder.record({ kind: "fault", fault: "clock", target: "machine", detail: "right again" });
    },
  };
}
