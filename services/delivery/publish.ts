/** Brings out what a decision leads to: records it in the spool, then reports it. The spool and the queues are its caller's. */
import type { Config } from "../../shared/config/schema.ts";
import type { DeliveryTask, Producer } from "../../shared/queue/contract/queue.ts";
import { enqueueSuccessReport } from "../../shared/queue/success-reports.ts";
import { type Logger, writeLine } from "../../shared/runtime/log.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import type { DeliveryMetrics } from "./delivery-metrics.ts";
import type { Effects } from "./effects.ts";

export interface PublishDeps {
  config: Pick<Config, "dsn">;
  log: Logger;
  metrics: DeliveryMetrics;
  spool: Pick<Spool, "settle">;
  producer: Pick<Producer, "addBounce" | "addDead">;
}

/**
 * The order keeps mail through a kill -9 between any two lines:
 *
 * 1. The spool's status log gets what the servers answered before anything else. A crash before that repeats the
 *    attempt: this window cannot be closed (RFC 1047), and nothing is lost in it.
 * 2. The success report is the only one that no record remembers, hence it is the first to be enqueued.
 * 3. `failed` and a `delay` in the spool are the durable records of pending notifications, and `dead` that of a dead
 *    job. After a crash the job's next run, or the reconciler, enqueues what is missing.
 *
 * The caller ends or postpones the job after this; a crash before that runs the job again.
 * @throws SpoolFull, SpoolUnavailable, or what the queues throw; the job is then to be repeated
 */
export async function publish(
  { config, log, metrics, spool, producer }: PublishDeps,
  { job, signal }: DeliveryTask,
  effects: Effects,
): Promise<void> {
  if (effects.settlements.length > 0) await spool.settle([...effects.settlements]);
  for (const line of effects.logLines) writeLine(log, line);
  for (const measurement of effects.measurements) metrics.record(measurement);
  if (effects.successReport !== undefined) {
    await enqueueSuccessReport({ producer, log }, effects.successReport, signal);
  }
  for (const kind of effects.notifications) {
    await producer.addBounce({ version: 1, kind, id: job.id, locator: job.locator }, config.dsn.wave);
  }
  if (effects.deadJob !== undefined) await producer.addDead(effects.deadJob);
}
