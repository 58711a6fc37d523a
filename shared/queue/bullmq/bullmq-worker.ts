/**
 * One BullMQ worker on one queue of a shard, made patient: no job ever fails for BullMQ, a lost lock ends the work on its job,
 * locks are taken again after an outage of Redis. It owns two connections; close() ends them.
 */
import {
  type WorkerOptions as BullmqWorkerOptions,
  DelayedError,
  type Job,
  type JobJson,
  type Processor,
  Worker,
} from "bullmq";
import { type Interruption, longestStopMs } from "../../runtime/interruption.ts";
import type { Logger } from "../../runtime/log.ts";
import { createRedis, type RedisConfig, type RedisConnection } from "../../runtime/redis.ts";
import { longestBlockSeconds } from "../../runtime/redis-heartbeat.ts";
import { isOutage } from "../../runtime/redis-watch.ts";
import { settlesWithin } from "../../runtime/with-timeout.ts";
import type { Shard } from "../../shards/shard.ts";
import type { QueueName } from "../contract/contract.ts";
import { ActiveJobs } from "./active-jobs.ts";
import { heldDueMs } from "./due-times.ts";
import { JobGate } from "./job-gate.ts";
import { queueBase } from "./keys.ts";
import type { SharedConcurrency } from "./shared-concurrency.ts";
import { runScriptsWhenFull } from "./when-full.ts";
import { finishScript, rescheduleScript } from "./worker-scripts.ts";

/** A job as its worker gets it. */
export interface StartedJob {
  jobId: string;
  /** Not validated yet; `null` when it is not even JSON. */
  payload: unknown;
  /** Unexpected errors in a row so far. */
  failures: number;
  /** A worker started it before. */
  restarted: boolean;
  signal: AbortSignal;
}

/** What becomes of a job after the work on it; times in epoch milliseconds. */
export type JobEnd =
  | { kind: "done" }
  /** Done, unless more was added to it while it was active: then due once more at `againAtMs`. */
  | { kind: "done-unless-more"; againAtMs: number }
  /** Due at `atMs` in `queue`. `payload` replaces the payload, `failures` the count. */
  | { kind: "later"; atMs: number; queue: QueueName; payload?: unknown; failures?: number }
  /** Held in its queue until someone releases it. */
  | { kind: "held" };

export interface WorkerTiming {
  /** A worker that died keeps its jobs for so long. */
  lockMs: number;
  /** How often workers look for jobs whose worker died. */
  stalledCheckMs: number;
  /** How often a worker checks whether Redis was emptied. */
  epochCheckMs: number;
  /**
   * After it has lost its connection to Redis a worker takes no job for so long. Redis may have come back a moment older,
   * with jobs waiting that others work on: these reconnect within a second and take their jobs again.
   */
  reclaimMs: number;
}

/** Jobs of a killed worker are started again within half a minute. */
export const workerTiming: WorkerTiming = {
  lockMs: 20_000,
  stalledCheckMs: 5_000,
  epochCheckMs: 1_000,
  reclaimMs: 1_500,
};

export interface WorkerOptions {
  queue: QueueName;
  redis: RedisConfig;
  /** Of the shard. */
  prefix: string;
  /** Of all workers of the queue in this process. */
  concurrency: SharedConcurrency;
  log: Logger;
  timing?: WorkerTiming;
  /** Work may go on for longestStopMs() although its signal was aborted. Absent: it ends at once. */
  mayOutlastGrace?: true;
  /** Must not throw. */
  handle(job: StartedJob): Promise<JobEnd>;
}

export interface RunningWorker {
  /** Takes no new jobs, lets the active ones finish within `graceMs`, then aborts their signals: see `Interruption`. */
  close(graceMs: number): Promise<void>;
}

/** Tells BullMQ that the job is no longer its own to end. One for all: a stack trace for each would be dear. */
const handedOver = new DelayedError();

/** How long work may go on after its signal was aborted. */
const afterAbortMs = 2_000;
/** BullMQ's close() waits without limit for jobs, and for a Redis that is away. */
const closeMs = 1_000;

/** What BullMQ itself returns when there is no job. */
const noJob = undefined as unknown as Job;

/** A BullMQ worker that takes jobs only while its gate is open, and no more than it has permits for. */
class PatientWorker extends Worker {
  readonly #gate: JobGate;
  readonly #permits: SharedConcurrency;
  /** Jobs that are being worked on. */
  #jobs = 0;
  /** Tokens of jobs whose permit serves for the next one, which is being taken. */
  readonly #handingOn = new Set<string>();

  constructor(
    queue: QueueName,
    process: Processor,
    options: BullmqWorkerOptions,
    gate: JobGate,
    permits: SharedConcurrency,
  ) {
    super(queue, process, { ...options, autorun: false });
    this.#gate = gate;
    this.#permits = permits;
    // BullMQ's loop takes jobs until it has so many, and only then begins with the first: one at a time, so that no job
    // that was taken waits while the loop waits for a permit.
    Object.defineProperty(this, "_concurrency", { get: () => Math.min(permits.limit, this.#jobs + 1) });
    this.run().catch((error) => this.emit("error", error));
  }

  protected override async moveToActive(token: string, name?: string): Promise<Job> {
    await this.#gate.opened();
    if (this.#handingOn.has(token)) return super.moveToActive(token, name);
    if (!(await this.#permits.take(this))) return noJob;
    let job: Job | undefined;
    try {
      if (this.closing === undefined && !this.isPaused()) job = await super.moveToActive(token, name);
    } finally {
      if (job === undefined) this.#permits.give();
    }
    return job ?? noJob;
  }

  /**
   * The step that ends the job takes the next one, which goes on with its permit. BullMQ would allow it by its own count,
   * in which jobs that were taken and have not begun would keep others from being taken.
   */
  override async processJob(job: Job, token: string) {
    let next: Awaited<ReturnType<Worker["processJob"]>> | undefined;
    this.#jobs++;
    try {
      next = await super.processJob(job, token, () => {
        const isFree = this.#gate.isOpen && !this.#permits.isWanted;
        if (isFree) this.#handingOn.add(token);
        return isFree;
      });
    } finally {
      this.#jobs--;
      this.#handingOn.delete(token);
      if (next === undefined) this.#permits.give();
      // The loop may wait for a permit, while this job has one and waits for the loop.
      else this.#permits.cancel(this);
    }
    return next;
  }

  /** What waits for a permit gets none any more. */
  stopWaiting(): void {
    this.#permits.cancel(this);
  }

  /** Blocks for a short time, so that a server that has stopped answering is noticed. */
  protected override getBlockTimeout(blockUntil: number): number {
    return Math.min(super.getBlockTimeout(blockUntil), longestBlockSeconds);
  }

  /** A payload that is not JSON must not stop the worker inside BullMQ. */
  protected override createJob(json: JobJson, jobId: string): Job {
    try {
      return super.createJob(json, jobId);
    } catch {
      return super.createJob({ ...json, data: "null" }, jobId);
    }
  }
}

export function startWorker(options: WorkerOptions): RunningWorker {
  const { queue, log, handle, timing = workerTiming } = options;
  const redis = createRedis(options.redis, "worker", log, options.prefix);
  const shard: Shard = { prefix: options.prefix, redis };
  const copies = rememberCopies(redis);
  runScriptsWhenFull(redis);
  const activeJobs = new ActiveJobs(queue, shard, timing.lockMs, log);
  const gate = new JobGate();
  let closing = false;

  const processJob = async (job: Job, token = "", signal = AbortSignal.abort()): Promise<void> => {
    const jobId = job.id ?? "";
    if (!gate.isOpen && !activeJobs.has(jobId)) {
      // The request for it was sent again to a Redis that may have come back older: another worker may have the job.
      await gate.opened();
      if (!(await activeJobs.hasLock(jobId, token))) throw handedOver;
    }
    activeJobs.add(jobId, token, job.data);
    try {
      const end: JobEnd = closing
        ? { kind: "later", atMs: Date.now(), queue }
        : await handle({
            jobId,
            payload: job.data,
            failures: job.attemptsMade,
            restarted: job.attemptsStarted > 1 || job.stalledCounter > 0,
            signal,
          });
      if (activeJobs.isLost(jobId, token)) throw handedOver;
      // BullMQ removes the job itself.
      if (end.kind === "done") return;
      const code = await activeJobs.endWithLock(jobId, () => endJob(shard, queue, jobId, token, end));
      if (code < 0)
        log.warn({ jobId, queue, code }, "another worker took the job before the work on it ended");
    } finally {
      activeJobs.delete(jobId, token);
    }
    throw handedOver;
  };

  const workerOptions: BullmqWorkerOptions = {
    connection: redis,
    prefix: options.prefix,
    concurrency: options.concurrency.limit,
    lockDuration: timing.lockMs,
    skipLockRenewal: true,
    stalledInterval: timing.stalledCheckMs,
    // By default the second death of a worker fails its jobs for ever.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    runRetryDelay: 1_000,
    removeOnComplete: { count: 0 },
  };
  const worker = new PatientWorker(
    queue,
    (job, token, signal) => processJob(job, token, signal),
    workerOptions,
    gate,
    options.concurrency,
  );
  worker.on("error", (error) => logWorkerError(error, redis, queue, log));
  const cancelLost = (jobIds: string[]): void => {
    for (const jobId of jobIds) {
      log.warn({ jobId, queue }, "lost the lock of a job; ending the work on it");
      worker.cancelJob(jobId, "lost" satisfies Interruption);
    }
  };
  const stopRenewing = activeJobs.renewLocks(cancelLost);
  const stopWatching = activeJobs.watchEpoch(timing.epochCheckMs, cancelLost);
  const stopCutting = activeJobs.cutLocks(timing.stalledCheckMs);
  let wasAway = false;
  redis.on("close", () => {
    wasAway = true;
    gate.shut();
  });
  redis.on("ready", () => {
    gate.openAfter(wasAway ? timing.reclaimMs : 0);
    void activeJobs.reclaimAll().then(cancelLost);
  });

  return {
    async close(graceMs) {
      closing = true;
      stopWatching();
      stopCutting();
      await worker.pause(true);
      gate.close();
      worker.stopWaiting();
      if (!(await settlesWithin(activeJobs.idle(), graceMs))) {
        worker.cancelAllJobs("stopping" satisfies Interruption);
        const moreMs = options.mayOutlastGrace === true ? longestStopMs(graceMs) - graceMs : 0;
        await settlesWithin(activeJobs.idle(), moreMs + afterAbortMs);
      }
      stopRenewing();
      const force = activeJobs.size > 0 || redis.status !== "ready";
      await settlesWithin(worker.close(force), closeMs);
      for (const connection of [redis, ...copies]) connection.disconnect();
    },
  };
}

/** @returns 0 or more: done; negative: the job is not this worker's any more */
async function endJob(
  shard: Shard,
  queue: QueueName,
  jobId: string,
  token: string,
  end: Exclude<JobEnd, { kind: "done" }>,
): Promise<number> {
  if (end.kind === "done-unless-more") {
    const args = [jobId, token, Math.round(end.againAtMs)];
    return Number(await finishScript.run(shard.redis, [queueBase(shard, queue)], args));
  }
  const nowMs = Date.now();
  const later: Extract<JobEnd, { kind: "later" }> =
    end.kind === "held" ? { kind: "later", atMs: heldDueMs(nowMs), queue } : end;
  const data = later.payload === undefined ? "" : JSON.stringify(later.payload);
  const args = [jobId, token, Math.round(later.atMs), data, later.failures ?? "", nowMs];
  const keys = [queueBase(shard, queue), queueBase(shard, later.queue)];
  return Number(await rescheduleScript.run(shard.redis, keys, args));
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

function logWorkerError(error: Error, redis: RedisConnection, queue: QueueName, log: Logger): void {
  // Active jobs handle these: see reclaim().
  const isLockError = /could not renew lock|Missing lock|Missing key for job|Lock mismatch/.test(
    error.message,
  );
  if (isLockError || isOutage(error, redis)) log.debug({ err: error, queue }, "queue worker");
  else log.error({ err: error, queue }, "queue worker");
}
