/** The configuration file changes under the running gateway, and SIGHUP says so. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import type { ChaosConfig } from "../gateway/config.ts";
import type { FaultKindOf } from "./fault.ts";

/** Before that a process may not listen to the signal yet, which then ends it. */
const settledMs = 5_000;

export const reload: FaultKindOf = {
  name: "reload",
  weight: 2,
  needsMs: 3_000,
  async happen({ gateway, recorder }, random) {
    recorder.record({ kind: "fault", fault: "reload", target: "configuration" });
    const connections = random.between(4, 20);
    const concurrency = random.between(10, 30);
    for (const program of gateway.programs) {
      const file = join(gateway.directory, `${program.name}.yaml`);
      const config = parse(readFileSync(file, "utf8")) as ChaosConfig;
      const limits = {
        ...config.limits,
        destinations: [{ match: "*", connections, messages_per_connection: 20 }],
      };
      const delivery = { ...config.delivery, concurrency };
      writeFileSync(file, stringify({ ...config, limits, delivery }));
      if (program.ranForMs > settledMs && !program.isFrozen) program.signal("SIGHUP");
    }
  },
};
