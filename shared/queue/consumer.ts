/** Takes jobs from the queues, hands them to a service's handler, and ends or reschedules them as it says. Each consumer closes its own workers. */
import type { Logger } from "../runtime/log.ts";
import type { RedisConfig } from "../runtime/redis.ts";
import { unreachable } from "../unreachable.ts";
import type { JobEnd, StartedJob, WorkerTiming } from "./bullmq/bullmq-worker.ts";
import {
  type BounceJob,
  bounceJobSchema,
  type DeliveryJob,
  type DeliveryQueueName,
  deliveryJobSchema,
} from "./contract/contract.ts";
import type { BounceNext, BounceTask, Consumer, DeliveryTask, JobNext } from "./contract/queue.ts";
import type { Holds } from "./holds/store.ts";
import type { JobMetrics } from "./job-metrics.ts";
import { JobRuns } from "./job-runs.ts";
import { ShardWorkers } from "./shard-workers.ts";

export interface DeliveryConsumerOptions {
  redis: RedisConfig;
  log: Logger;
  /** Attempts at once in this process, over both queues. */
  concurrency: number;
  /** The share of `concurrency` that only slow mail uses, 0..1; a quarter when absent. Fresh mail has the rest to itself. */
  slowShare?: number;
  /** Jobs under a hold are held before the handler sees them. */
  holds?: Pick<Holds, "match" | "confirm">;
  timing?: WorkerTiming;
  metrics?: JobMetrics;
  handle(task: DeliveryTask): Promise<JobNext>;
}

export interface BounceConsumerOptions {
  redis: RedisConfig;
  log: Logger;
  concurrency: number;
  /** Failures or delays that join a job while it is active wait so long for more of them. */
  aggregationWindowMs: number;
  timing?: WorkerTiming;
  metrics?: JobMetrics;
  handle(task: BounceTask): Promise<BounceNext>;
}

/** After an unexpected error the job is retried soon, then ever later: 10 s, 20 s, … 10 min. */
const firstRetryMs = 10_000;
const longestRetryMs = 600_000;
/** A payload of a newer version waits for a newer worker. */
const newerVersionMs = 60_000;

/** Consumes `delivery` and `delivery-slow` with separate shares, so that fresh mail never waits behind slow mail. */
export function consumeDeliveries(options: DeliveryConsumerOptions): Consumer {
  // One for both queues: a job may be handed out by one while it is being worked on by the other.
  const runs = new JobRuns();
  return new ShardWorkers({
    redis: options.redis,
    concurrency: deliveryShares(options.concurrency, options.slowShare),
    mayOutlastGrace: true,
    log: options.log,
    ...(options.timing === undefined ? {} : { timing: options.timing }),
    handle: (queue, started) =>
      runs.start(started, (run) => deliver(run, queue as DeliveryQueueName, options)),
  });
}

/** How many jobs of each queue a process works on at once. */
export function deliveryShares(concurrency: number, slowShare = 0.25): Record<DeliveryQueueName, number> {
  const slow = Math.max(1, Math.round(concurrency * slowShare));
  return { delivery: Math.max(1, concurrency - slow), "delivery-slow": slow };
}

export function consumeBounces(options: BounceConsumerOptions): Consumer {
  const runs = new JobRuns();
  return new ShardWorkers({
    redis: options.redis,
    concurrency: { bounce: options.concurrency },
    log: options.log,
    ...(options.timing === undefined ? {} : { timing: options.timing }),
    handle: (_, started) => runs.start(started, (run) => bounce(run, options)),
  });
}

async function deliver(
  started: StartedJob,
  queue: DeliveryQueueName,
  { log, holds, handle, metrics }: DeliveryConsumerOptions,
): Promise<JobEnd> {
  const { jobId, restarted, signal } = started;
  const parsed = deliveryJobSchema.safeParse(started.payload);
  if (!parsed.success) return refusePayload(started, queue, parsed.error.message, log);
  const job = parsed.data as DeliveryJob;
  if (holds?.match(job) && (await holds.confirm(job))) return { kind: "held" };
  const mayHaveRun = restarted || job.again === true;
  let next: JobNext;
  try {
    const task = { jobId, queue, job, mayHaveRun, signal };
    next = await (metrics?.measure(queue, () => handle(task)) ?? handle(task));
  } catch (error) {
    metrics?.failed(queue);
    return afterUnexpectedError(started, queue, error, log);
  }
  switch (next.kind) {
    case "done":
      return { kind: "done" };
    case "later": {
      const { again: _, ...rest } = job;
      const payload: DeliveryJob = {
        ...rest,
        history: next.history,
        route: next.route.label,
        aliases: next.route.aliases,
      };
      return { kind: "later", atMs: next.atMs, queue: next.queue, payload, failures: 0 };
    }
    case "postponed":
      return { kind: "later", atMs: next.atMs, queue };
    default:
      return unreachable(next);
  }
}

async function bounce(
  started: StartedJob,
  { log, handle, aggregationWindowMs, metrics }: BounceConsumerOptions,
): Promise<JobEnd> {
  const { jobId, restarted, signal } = started;
  const parsed = bounceJobSchema.safeParse(started.payload);
  if (!parsed.success) return refusePayload(started, "bounce", parsed.error.message, log);
  let next: BounceNext;
  try {
    const task = { jobId, job: parsed.data as BounceJob, mayHaveRun: restarted, signal };
    next = await (metrics?.measure("bounce", () => handle(task)) ?? handle(task));
  } catch (error) {
    metrics?.failed("bounce");
    return afterUnexpectedError(started, "bounce", error, log);
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
 * Ends a job whose payload the schema does not know. The spool is the truth: the reconciler adds the job again at its
 * next scan if anything is pending. That is minutes away, so that a defect of ours cannot become a busy loop.
 * A payload of a newer version waits for a newer worker, as while an upgrade is rolled out.
 */
function refusePayload(
  { jobId, payload }: StartedJob,
  queue: DeliveryQueueName | "bounce",
  error: string,
  log: Logger,
): JobEnd {
  const version = (payload as { version?: unknown } | null)?.version;
  log.error({ jobId, queue, data: payload, error }, "a job's payload is not what it should be");
  if (typeof version === "number" && version > 1) {
    return { kind: "later", atMs: Date.now() + newerVersionMs, queue };
  }
  return { kind: "done" };
}

function afterUnexpectedError(
  { jobId, failures, signal }: StartedJob,
  queue: DeliveryQueueName | "bounce",
  error: unknown,
  log: Logger,
): JobEnd {
  // The worker stops, and nothing is wrong with the job: another worker takes it at once.
  if (signal.aborted) return { kind: "later", atMs: Date.now(), queue };
  const delayMs = Math.min(firstRetryMs * 2 ** Math.min(failures, 10), longestRetryMs);
  log.error({ err: error, jobId, queue, retryInMs: delayMs }, "a job could not be worked on");
  return { kind: "later", atMs: Date.now() + delayMs, queue, failures: failures + 1 };
}
