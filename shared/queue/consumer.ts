/** Takes jobs from the queues, hands them to a service's handler, and does with them what it says. Each consumer closes its own workers. */
import type { Logger } from "../runtime/log.ts";
import type { RedisConfig } from "../runtime/redis.ts";
import { unreachable } from "../unreachable.ts";
import { heldDueMs } from "./bullmq/keys.ts";
import { startWorker, type Work, type WorkEnd, type WorkerTiming } from "./bullmq/worker.ts";
import {
  type BounceJob,
  bounceJobSchema,
  type DeliveryJob,
  type DeliveryQueueName,
  deliveryJobSchema,
} from "./contract/contract.ts";
import type { BounceNext, BounceTask, Consumer, DeliveryTask, JobNext } from "./contract/queue.ts";
import type { Holds } from "./holds/store.ts";

export interface DeliveryConsumerOptions {
  redis: RedisConfig;
  log: Logger;
  /** Attempts at once in this process, over both queues. */
  concurrency: number;
  /** The part of `concurrency` that only slow mail uses, 0..1; a quarter when absent. Fresh mail has the rest to itself. */
  slowShare?: number;
  /** Jobs under a hold are parked before the handler sees them. */
  holds?: Pick<Holds, "match" | "confirm">;
  timing?: WorkerTiming;
  handle(task: DeliveryTask): Promise<JobNext>;
}

export interface BounceConsumerOptions {
  redis: RedisConfig;
  log: Logger;
  concurrency: number;
  /** Failures or delays that join a job while it is worked on wait so long for more of them. */
  aggregationWindowMs: number;
  timing?: WorkerTiming;
  handle(task: BounceTask): Promise<BounceNext>;
}

/** After a surprise the job comes back soon, then ever later: 10 s, 20 s, … 10 min. */
const firstRepairMs = 10_000;
const longestRepairMs = 600_000;
/** A payload of a newer version waits for a newer worker. */
const newerVersionMs = 60_000;

/** Consumes `delivery` and `delivery-slow` with separate shares, so that fresh mail never waits behind slow mail. */
export function consumeDeliveries(options: DeliveryConsumerOptions): Consumer {
  const shares = deliveryShares(options.concurrency, options.slowShare);
  const workers = (["delivery", "delivery-slow"] as const).map((queue) =>
    startWorker({
      queue,
      redis: options.redis,
      concurrency: shares[queue],
      log: options.log,
      ...(options.timing === undefined ? {} : { timing: options.timing }),
      work: (work) => deliver(work, queue, options),
    }),
  );
  return {
    async close(graceMs) {
      await Promise.all(workers.map((worker) => worker.close(graceMs)));
    },
  };
}

/** How many jobs of each queue a process works on at once. */
export function deliveryShares(concurrency: number, slowShare = 0.25): Record<DeliveryQueueName, number> {
  const slow = Math.max(1, Math.round(concurrency * slowShare));
  return { delivery: Math.max(1, concurrency - slow), "delivery-slow": slow };
}

export function consumeBounces(options: BounceConsumerOptions): Consumer {
  return startWorker({
    queue: "bounce",
    redis: options.redis,
    concurrency: options.concurrency,
    log: options.log,
    ...(options.timing === undefined ? {} : { timing: options.timing }),
    work: (work) => bounce(work, options),
  });
}

async function deliver(
  work: Work,
  queue: DeliveryQueueName,
  { log, holds, handle }: DeliveryConsumerOptions,
): Promise<WorkEnd> {
  const { jobId, signal } = work;
  const parsed = deliveryJobSchema.safeParse(work.data);
  if (!parsed.success) return refusePayload(work, queue, parsed.error.message, log);
  const job = parsed.data as DeliveryJob;
  if (holds?.match(job) && (await holds.confirm(job))) {
    return { kind: "later", atMs: heldDueMs(Date.now()), queue };
  }
  const mayHaveRun = work.restarted || job.again === true;
  let next: JobNext;
  try {
    next = await handle({ jobId, queue, job, mayHaveRun, signal });
  } catch (error) {
    return afterUnexpectedError(work, queue, error, log);
  }
  switch (next.kind) {
    case "done":
      return { kind: "done" };
    case "later": {
      const { again: _, ...rest } = job;
      const data: DeliveryJob = {
        ...rest,
        history: next.history,
        route: next.route.label,
        aliases: next.route.aliases,
      };
      return { kind: "later", atMs: next.atMs, queue: next.queue, data, failures: 0 };
    }
    case "postponed":
      return { kind: "later", atMs: next.atMs, queue };
    default:
      return unreachable(next);
  }
}

async function bounce(
  work: Work,
  { log, handle, aggregationWindowMs }: BounceConsumerOptions,
): Promise<WorkEnd> {
  const { jobId, signal } = work;
  const parsed = bounceJobSchema.safeParse(work.data);
  if (!parsed.success) return refusePayload(work, "bounce", parsed.error.message, log);
  let next: BounceNext;
  try {
    next = await handle({ jobId, job: parsed.data as BounceJob, mayHaveRun: work.restarted, signal });
  } catch (error) {
    return afterUnexpectedError(work, "bounce", error, log);
  }
  switch (next.kind) {
    case "done":
      return { kind: "done-unless-more", againAtMs: Date.now() + aggregationWindowMs };
    case "postponed":
      return { kind: "later", atMs: next.atMs, queue: "bounce" };
    default:
      return unreachable(next);
  }
}

/**
 * A payload that the schema does not know. The spool is the truth: the job goes, and the keeper makes it anew at its
 * next scan if anything is pending. That is minutes away, so that a defect of ours cannot become a busy loop.
 * One of a newer version stays for a newer worker, as while an upgrade is rolled out.
 */
function refusePayload(work: Work, queue: DeliveryQueueName | "bounce", error: string, log: Logger): WorkEnd {
  const version = (work.data as { version?: unknown } | null)?.version;
  log.error({ jobId: work.jobId, queue, data: work.data, error }, "a job's payload is not what it should be");
  if (typeof version === "number" && version > 1) {
    return { kind: "later", atMs: Date.now() + newerVersionMs, queue };
  }
  return { kind: "done" };
}

function afterUnexpectedError(
  work: Work,
  queue: DeliveryQueueName | "bounce",
  error: unknown,
  log: Logger,
): WorkEnd {
  // Told to stop: another worker takes it at once, and nothing is wrong with it.
  if (work.signal.aborted) return { kind: "later", atMs: Date.now(), queue };
  const delayMs = Math.min(firstRepairMs * 2 ** Math.min(work.failures, 10), longestRepairMs);
  log.error({ err: error, jobId: work.jobId, queue, retryInMs: delayMs }, "a job could not be worked on");
  return { kind: "later", atMs: Date.now() + delayMs, queue, failures: work.failures + 1 };
}
