/**
 * One BullMQ worker on one queue, made patient: no job ever fails for BullMQ, a lost lock ends the work on its job,
 * locks are taken again after an outage of Redis. It owns two connections; close() ends them.
 */
import { DelayedError, type Job, type JobJson, Worker } from "bullmq";
import type { Logger } from "../../runtime/log.ts";
import { createRedis, queuePrefix, type RedisConfig, type RedisConnection } from "../../runtime/redis.ts";
import { settlesWithin } from "../../runtime/with-timeout.ts";
import type { QueueName } from "../contract/contract.ts";
import { ActiveJobs } from "./active-jobs.ts";
import { queueBase } from "./keys.ts";
import { finishJob, rescheduleJob } from "./scripts.ts";

/** A job as it is handed to the work. */
export interface Work {
  jobId: string;
  /** Not parsed yet; `undefined` when it is not even JSON. */
  data: unknown;
  /** Surprises so far in a row. */
  failures: number;
  /** It was started before. */
  restarted: boolean;
  signal: AbortSignal;
}

/** What becomes of the job. */
export type WorkEnd =
  | { kind: "done" }
  /** Done, unless more was added to it while it was worked on: then once more at `againAtMs`. */
  | { kind: "done-unless-more"; againAtMs: number }
  /** Due at `atMs` in `queue`. `data` replaces the payload, `failures` the count. */
  | { kind: "later"; atMs: number; queue: QueueName; data?: unknown; failures?: number };

export interface WorkerTiming {
  /** A worker that died keeps its jobs for so long. */
  lockMs: number;
  /** How often workers look for jobs whose worker died. */
  stalledCheckMs: number;
  /** How often a worker looks whether Redis was emptied. */
  epochCheckMs: number;
}

/** Jobs of a killed worker are taken up again within half a minute. */
export const workerTiming: WorkerTiming = { lockMs: 20_000, stalledCheckMs: 5_000, epochCheckMs: 1_000 };

export interface WorkerOptions {
  queue: QueueName;
  redis: RedisConfig;
  concurrency: number;
  log: Logger;
  timing?: WorkerTiming;
  /** Must not throw. */
  work(job: Work): Promise<WorkEnd>;
}

export interface RunningWorker {
  /** No new work, active jobs finish within `graceMs`, then their signals abort. */
  close(graceMs: number): Promise<void>;
}

/** Tells BullMQ that a job has left its hands already. One for all: a stack trace for each would be dear. */
const handedOver = new DelayedError();

/** How long work may go on after its signal was aborted. */
const afterAbortMs = 2_000;

/** A payload that is not JSON must not stop the worker in BullMQ's own hands. */
class PatientWorker extends Worker {
  protected override createJob(json: JobJson, jobId: string): Job {
    try {
      return super.createJob(json, jobId);
    } catch {
      return super.createJob({ ...json, data: "null" }, jobId);
    }
  }
}

export function startWorker(options: WorkerOptions): RunningWorker {
  const { queue, log, work, timing = workerTiming } = options;
  const redis = createRedis(options.redis, "worker", log);
  const copies = rememberCopies(redis);
  const activeJobs = new ActiveJobs(queue, redis, timing.lockMs, log);
  let closing = false;
  let whenIdle: (() => void) | undefined;

  const process = async (job: Job, token = "", signal = AbortSignal.abort()): Promise<void> => {
    const jobId = job.id ?? "";
    activeJobs.add(jobId, token, job.data);
    try {
      const end: WorkEnd = closing
        ? { kind: "later", atMs: Date.now(), queue }
        : await work({
            jobId,
            data: job.data,
            failures: job.attemptsMade,
            restarted: job.attemptsStarted > 1 || job.stalledCounter > 0,
            signal,
          });
      if (activeJobs.isLost(jobId)) throw handedOver;
      if (end.kind === "done") return;
      const code = await activeJobs.retryWithLock(jobId, () => apply(redis, queue, jobId, token, end));
      if (code < 0) log.warn({ jobId, queue, code }, "the job was taken away before its work ended");
    } finally {
      activeJobs.delete(jobId);
      if (activeJobs.size === 0) whenIdle?.();
    }
    throw handedOver;
  };

  const worker = new PatientWorker(queue, (job, token, signal) => process(job, token, signal), {
    connection: redis,
    prefix: queuePrefix,
    concurrency: options.concurrency,
    lockDuration: timing.lockMs,
    stalledInterval: timing.stalledCheckMs,
    // By default the second death of a worker fails its jobs for ever.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    runRetryDelay: 1_000,
    removeOnComplete: { count: 0 },
  });
  worker.on("error", (error) => logWorkerError(error, queue, log));
  const drop = (lost: string[]): void => {
    for (const jobId of lost) {
      log.warn({ jobId, queue }, "lost the lock of a job; ending the work on it");
      worker.cancelJob(jobId, "lock lost");
    }
  };
  worker.on("lockRenewalFailed", (jobIds) => void activeJobs.reclaim(jobIds).then(drop));
  const stopWatching = activeJobs.watchEpoch(timing.epochCheckMs, drop);

  return {
    async close(graceMs) {
      closing = true;
      stopWatching();
      await worker.pause(true);
      const idle = (ms: number): Promise<unknown> =>
        activeJobs.size === 0
          ? Promise.resolve()
          : settlesWithin(
              new Promise<void>((resolve) => {
                whenIdle = resolve;
              }),
              ms,
            );
      await idle(graceMs);
      if (activeJobs.size > 0) {
        worker.cancelAllJobs("shutting down");
        await idle(afterAbortMs);
      }
      // BullMQ waits without limit for jobs, and for a Redis that is away.
      await settlesWithin(worker.close(activeJobs.size > 0), 1_000);
      for (const connection of [redis, ...copies]) connection.disconnect();
    },
  };
}

/** @returns 0 or more: it happened; negative: the job is not ours (any more) */
async function apply(
  redis: RedisConnection,
  queue: QueueName,
  jobId: string,
  token: string,
  end: Exclude<WorkEnd, { kind: "done" }>,
): Promise<number> {
  if (end.kind === "done-unless-more") {
    return Number(await finishJob.run(redis, [queueBase(queue)], [jobId, token, Math.round(end.againAtMs)]));
  }
  const data = end.data === undefined ? "" : JSON.stringify(end.data);
  const args = [jobId, token, Math.round(end.atMs), data, end.failures ?? "", Date.now()];
  return Number(await rescheduleJob.run(redis, [queueBase(queue), queueBase(end.queue)], args));
}

/** BullMQ makes its blocking connection from ours, and cannot be told to give it up while Redis is away. */
function rememberCopies(redis: RedisConnection): { disconnect(): void }[] {
  const copies: { disconnect(): void }[] = [];
  const duplicate = redis.duplicate.bind(redis) as (...args: unknown[]) => RedisConnection;
  Object.assign(redis, {
    duplicate: (...args: unknown[]) => {
      const copy = duplicate(...args);
      copies.push(copy);
      return copy;
    },
  });
  return copies;
}

function logWorkerError(error: Error & { code?: string }, queue: QueueName, log: Logger): void {
  // Said already, once per outage, by the connection's own watch.
  const connectionErrors =
    /^(ECONN|ENOENT|ETIMEDOUT|EPIPE|EHOST|ENET)/.test(error.code ?? "") ||
    /Connection is closed|Stream isn't writeable|connect E|read E|write E/.test(error.message);
  // Handled where locks are lost.
  const lockErrors = /could not renew lock|Missing lock|Missing key for job|Lock mismatch/.test(
    error.message,
  );
  if (connectionErrors || lockErrors) log.debug({ err: error, queue }, "queue worker");
  else log.error({ err: error, queue }, "queue worker");
}
