/** Brings out what a decision leads to: records it in the spool, then reports it. The spool and the queues are its caller's. */
import { setTimeout as wait } from "node:timers/promises";
import type { Config } from "../../shared/config/schema.ts";
import { reportDelayMs, sharedBounce } from "../../shared/queue/contract/delivery-job.ts";
import type { DeliveryTask, Producer } from "../../shared/queue/contract/queue.ts";
import { type Logger, writeLine } from "../../shared/runtime/log.ts";
import { type Settlement, type Spool, SpoolFull, SpoolUnavailable } from "../../shared/spool/spool.ts";
import type { DeliveryMetrics } from "./delivery-metrics.ts";
import type { Effects } from "./effects.ts";

export interface PublishDeps {
  config: Pick<Config, "dsn">;
  log: Logger;
  metrics: DeliveryMetrics;
  spool: Pick<Spool, "settle" | "recordSettlements">;
  producer: Pick<Producer, "addBounce" | "addDead">;
}

/**
 * The order keeps mail through a kill -9 between any two lines:
 *
 * 1. The spool's status log gets what the servers answered before anything else. A crash before that repeats the
 *    attempt: this window cannot be closed (RFC 1047), and nothing is lost in it. While the log cannot be written, this
 *    process is the only one that knows the answers: it holds the job.
 * 2. `failed`, a `delay` and a `success` in the spool are the durable records of pending notifications, and `dead` that
 *    of a dead job. After a crash the job's next run, or the reconciler, enqueues what is missing.
 *
 * The caller ends or postpones the job after this; a crash before that runs the job again.
 * @throws SpoolFull, SpoolUnavailable, or what the queues throw; the job is then to be repeated
 */
export async function publish(
  { config, log, metrics, spool, producer }: PublishDeps,
  { job, signal }: DeliveryTask,
  effects: Effects,
): Promise<void> {
  if (effects.settlements.length > 0) await settle({ log, spool }, effects.settlements, { job, signal });
  for (const line of effects.logLines) writeLine(log, line);
  for (const measurement of effects.measurements) metrics.record(measurement);
  for (const kind of effects.notifications) {
    await producer.addBounce(sharedBounce(kind, job.id, job.locator), reportDelayMs(kind, config.dsn.wave));
  }
  if (effects.deadJob !== undefined) await producer.addDead(effects.deadJob);
}

/** Between two tries to record what the servers answered. */
const repeatAfterMs = 1_000;

/**
 * Records what the servers answered. On a full disk, say, it repeats until it succeeds or the job's lock is lost: given
 * back before that, the job would go to a process that delivers again.
 * @throws SpoolFull, SpoolUnavailable once the signal is aborted
 */
async function settle(
  { log, spool }: Pick<PublishDeps, "log" | "spool">,
  settlements: readonly Settlement[],
  { job, signal }: Pick<DeliveryTask, "job" | "signal">,
): Promise<void> {
  let failure: unknown;
  try {
    return await spool.settle([...settlements]);
  } catch (error) {
    if (!(error instanceof SpoolFull || error instanceof SpoolUnavailable)) throw error;
    failure = error;
  }
  log.error(
    { err: failure, id: job.id },
    "what servers answered cannot be recorded; holding the job until it is",
  );
  while (!signal.aborted) {
    await wait(repeatAfterMs, undefined, { signal, ref: false }).catch(() => {});
    try {
      return await spool.recordSettlements();
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
