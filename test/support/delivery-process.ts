/** A delivery service as a process that a test kills: `node delivery-process.ts JSON`. Its locks are short, so that others take its jobs over soon. */
import path from "node:path";
import { pino } from "pino";
import { startDelivery } from "../../services/delivery/delivery.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { testConfig } from "./config.ts";

const config = testConfig(JSON.parse(process.argv[2] ?? "{}"));
const directory = path.join(config.data, "spool");
const service = await startDelivery({
  config,
  redis: { url: config.redis?.url ?? "" },
  log: pino({ level: "warn" }),
  spool: createFsSpool({ directory, followMs: 50, heartbeatMs: 200, deadAfterMs: 1_500 }),
  holdsFile: path.join(directory, "holds.json"),
  reconcilerTiming: { tickMs: 100, leaseMs: 1_000, scanEveryMs: 1_000, reclaimMs: 500 },
  workerTiming: { lockMs: 2_000, stalledCheckMs: 300, epochCheckMs: 200, reclaimMs: 1_500 },
});
// SIGKILL or the end of the parent ends it.
process.on("disconnect", () => void service.close(0).then(() => process.exit(0)));
