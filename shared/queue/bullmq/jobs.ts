/**
 * The room of BullMQ's inside: all that knows its keys, locks, scores and scripts (docs/decisions/0006-bullmq-inside.md).
 * This file adds, moves and removes jobs that no worker has, many in one step. All jobs of a call are in one shard. It owns nothing;
 * connections are the caller's. All functions reject with an Error of Redis; what was done until then stays done.
 */
import { createHash } from "node:crypto";
import type { Shard } from "../../shards/shard.ts";
import { otherQueue, type QueueName } from "../contract/contract.ts";
import { heldDueMs, heldSinceMs, scoreOf } from "./due-times.ts";
import { jobKey, queueBase, queueKey } from "./keys.ts";
import { scanMarkKey } from "./scan-mark.ts";
import {
  addScript,
  addWhenFullScript,
  holdScript,
  makeDueScript,
  releaseScript,
  removeScript,
  requeueFailedScript,
} from "./scripts.ts";

/** The name of all jobs: BullMQ stores one with each of them. */
export const jobName = "mail";

/**
 * The options that BullMQ stores with each job. Our workers decide about retries themselves and let nothing fail;
 * should a failure slip through, BullMQ must not give up.
 */
export const jobOptions = JSON.stringify({ attempts: 1_000_000_000 });

export interface NewJob {
  jobId: string;
  payload: object;
  /** Milliseconds until it is due; due at once when absent. */
  delayMs?: number;
}

/** These keep one call of a script within a few milliseconds: Redis does nothing else meanwhile. */
const jobsPerCall = 200;
const octetsPerCall = 2 ** 20;
/** Reads before a release is given up because the job changes each time: it stays held. */
const releaseTries = 3;

/**
 * Adds the jobs that exist neither in the queue nor in the other queue where they may be.
 * @param options  `flagActive`: a job that a worker has is flagged as having more to do
 * @returns how many it added
 */
export async function addJobs(
  shard: Shard,
  queue: QueueName,
  jobs: readonly NewJob[],
  { flagActive = false }: { flagActive?: boolean } = {},
): Promise<number> {
  const keys = [queueBase(shard, queue), queueBase(shard, otherQueue(queue)), scanMarkKey(shard)];
  const script = queue === "delivery" || queue === "delivery-slow" ? addScript : addWhenFullScript;
  const byDelay = Map.groupBy(jobs, ({ delayMs = 0 }) => Math.max(0, Math.round(delayMs)));
  const calls = [...byDelay].flatMap(([delayMs, equallyLate]) => {
    const head = [Date.now(), delayMs, jobName, jobOptions, flagActive ? 1 : 0];
    return serialise(equallyLate).map((jobs) => script.run(shard.redis, keys, [...head, ...jobs]));
  });
  let added = 0;
  // Not Promise.all: a rejection must not leave calls running that the caller then repeats.
  for (const result of await Promise.allSettled(calls)) {
    if (result.status === "rejected") throw result.reason;
    added += Number(result.value);
  }
  return added;
}

/** Removes jobs that no worker has. @returns how many */
export async function removeJobs(shard: Shard, queue: QueueName, jobIds: readonly string[]): Promise<number> {
  if (jobIds.length === 0) return 0;
  return Number(await removeScript.run(shard.redis, [queueBase(shard, queue)], [...jobIds]));
}

/** Makes deferred jobs due at `dueMs`, in epoch milliseconds. @returns how many; jobs in another status stay as they are */
export async function makeDue(
  shard: Shard,
  queue: QueueName,
  jobIds: readonly string[],
  dueMs: number,
): Promise<number> {
  if (jobIds.length === 0) return 0;
  const score = scoreOf(Math.round(dueMs));
  return Number(await makeDueScript.run(shard.redis, [queueBase(shard, queue)], [score, ...jobIds]));
}

/**
 * Holds jobs that are deferred or wait for a worker. A job that is held already stays held since the first time.
 * @returns how many of them are held now
 */
export async function holdJobs(
  shard: Shard,
  queue: QueueName,
  jobIds: readonly string[],
  nowMs: number,
): Promise<number> {
  if (jobIds.length === 0) return 0;
  const score = scoreOf(heldDueMs(nowMs));
  return Number(await holdScript.run(shard.redis, [queueBase(shard, queue)], [score, ...jobIds]));
}

/**
 * Makes held jobs due at `nowMs`, and adds how long each was held to `heldMs` of its payload. The payload is changed
 * here, not in Redis, whose JSON library makes objects of empty arrays; a job that changes meanwhile is read again.
 * @returns how many of the jobs are not held any more
 */
export async function releaseJobs(
  shard: Shard,
  queue: QueueName,
  jobIds: readonly string[],
  nowMs: number,
): Promise<number> {
  const release = async (chunk: readonly string[]): Promise<number> => {
    let left = chunk;
    for (let tries = 0; tries < releaseTries && left.length > 0; tries++) {
      left = await releaseOnce(shard, queue, left, nowMs);
    }
    return left.length;
  };
  const stillHeld = await Promise.all(chunksOf(jobIds).map(release));
  return jobIds.length - stillHeld.reduce((sum, count) => sum + count, 0);
}

/** Nothing may fail for BullMQ; jobs that failed all the same (a dashboard, an older release) wait again. @returns how many */
export async function requeueFailed(shard: Shard, queue: QueueName): Promise<number> {
  return Number(await requeueFailedScript.run(shard.redis, [queueBase(shard, queue)], []));
}

/** @returns the ids of the jobs that changed while they were released */
async function releaseOnce(
  shard: Shard,
  queue: QueueName,
  jobIds: readonly string[],
  nowMs: number,
): Promise<string[]> {
  const dueMs = Math.round(nowMs);
  const pipeline = shard.redis.pipeline();
  for (const jobId of jobIds) {
    pipeline.zscore(queueKey(shard, queue, "delayed"), jobId);
    pipeline.hget(jobKey(shard, queue, jobId), "data");
  }
  const values = ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
  const args = jobIds.flatMap((jobId, index) => {
    const [score, data] = values.slice(2 * index, 2 * index + 2);
    const sinceMs = heldSinceMs(Number(score));
    if (sinceMs === undefined || typeof data !== "string") return [];
    return [jobId, String(score), sha1(data), addHeldTime(data, Math.max(0, dueMs - sinceMs))];
  });
  if (args.length === 0) return [];
  return (await releaseScript.run(
    shard.redis,
    [queueBase(shard, queue)],
    [scoreOf(dueMs), ...args],
  )) as string[];
}

/** A payload that cannot be read stays as it is: its worker will say so. */
function addHeldTime(data: string, ms: number): string {
  try {
    const payload: unknown = JSON.parse(data);
    if (typeof payload !== "object" || payload === null || Array.isArray(payload)) return data;
    const { heldMs } = payload as { heldMs?: unknown };
    return JSON.stringify({ ...payload, heldMs: (typeof heldMs === "number" ? heldMs : 0) + ms });
  } catch {
    return data;
  }
}

function sha1(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}

/** @returns the arguments for each call of the script: id and payload of each job */
function serialise(jobs: readonly NewJob[]): string[][] {
  const calls: string[][] = [];
  let current: string[] = [];
  let octets = 0;
  for (const { jobId, payload } of jobs) {
    const data = JSON.stringify(payload);
    if (current.length >= 2 * jobsPerCall || octets + data.length > octetsPerCall) {
      if (current.length > 0) calls.push(current);
      current = [];
      octets = 0;
    }
    current.push(jobId, data);
    octets += data.length;
  }
  if (current.length > 0) calls.push(current);
  return calls;
}

function chunksOf<T>(items: readonly T[]): (readonly T[])[] {
  const chunks: (readonly T[])[] = [];
  for (let start = 0; start < items.length; start += jobsPerCall) {
    chunks.push(items.slice(start, start + jobsPerCall));
  }
  return chunks;
}
