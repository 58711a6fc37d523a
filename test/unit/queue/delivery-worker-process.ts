/** A delivery worker in a process of its own, for tests that kill it: it takes jobs and never ends them. */
import { consumeDeliveries } from "../../../shared/queue/consumer.ts";
import { createLogger } from "../../../shared/runtime/log.ts";

const [url = ""] = process.argv.slice(2);
consumeDeliveries({
  redis: { url },
  log: createLogger("test", { write() {} }),
  concurrency: 4,
  timing: { lockMs: 600, stalledCheckMs: 200, epochCheckMs: 100, reclaimMs: 500 },
  async handle({ jobId }) {
    process.stdout.write(`took ${jobId}\n`);
    return new Promise(() => {});
  },
});
