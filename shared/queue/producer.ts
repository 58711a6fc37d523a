/** Puts jobs into the queues: idempotent by job id, many in one step, never waiting long. It owns one connection; close() ends it. */

import type { RouteSummary } from "../routing/route.ts";
import type { Logger } from "../runtime/log.ts";
import { createRedis, type RedisConfig, type RedisConnection } from "../runtime/redis.ts";
import { withTimeout } from "../runtime/with-timeout.ts";
import type { StoredMessage } from "../spool/spool.ts";
import { queueBase, scanRequestsKey } from "./bullmq/keys.ts";
import { addJobs } from "./bullmq/scripts.ts";
import { type BounceJob, deliveryJobId, otherQueue, type QueueName } from "./contract/contract.ts";
import { type DeadJob, deadJobId } from "./contract/dead-job.ts";
import { bounceId, jobName, jobOptions, makeDeliveryJob } from "./contract/delivery-job.ts";
import type { Producer } from "./contract/queue.ts";

/** One part of a message to enqueue. */
export interface Part {
  message: StoredMessage;
  part: number;
  route: RouteSummary;
  /** An earlier job of it may have been worked on. */
  again: boolean;
  /** How long holds have kept it so far. */
  heldMs?: number;
}

export interface QueueProducer extends Producer {
  /** As addDeliveries, for single parts. @returns how many did not exist */
  addGroups(parts: Part[]): Promise<number>;
  /** Asks the keeper to compare the schedule with the spool. */
  requestScan(): Promise<void>;
}

/** For callers that name no route: the job gets one at its first attempt. */
const unknownRoute: RouteSummary = { label: "", aliases: [] };

/** How long anything here may take before it rejects. */
const timeLimitMs = 4_000;
/** Keeps one script call within a few milliseconds: Redis does nothing else meanwhile. */
const jobsPerCall = 200;

/** Redis did not answer in time; what was asked for may have happened all the same. */
export class QueueTimeout extends Error {
  override name = "QueueTimeout";
}

export function createProducer(redisConfig: RedisConfig, log: Logger): QueueProducer {
  const redis = createRedis(redisConfig, "producer", log);

  const addGroups = async (parts: Part[]): Promise<number> => {
    const nowMs = Date.now();
    /** By the milliseconds that they wait. */
    const flats = new Map<number, string[]>();
    for (const { message, part, route, again, heldMs = 0 } of parts) {
      const job = makeDeliveryJob(message, part, route, again);
      if (heldMs > 0) job.heldMs = heldMs;
      const dueMs = job.history === undefined ? nowMs : (message.meta.tried?.untilMs ?? nowMs);
      const delayMs = Math.max(0, dueMs - nowMs);
      const flat = flats.get(delayMs) ?? [];
      flats.set(delayMs, flat);
      flat.push(deliveryJobId(job.id, part), JSON.stringify(job));
    }
    return inTime(sumOf([...flats].map(([delayMs, flat]) => add(redis, "delivery", flat, delayMs, false))));
  };

  return {
    addGroups,

    async addDeliveries(messages) {
      const parts: Part[] = [];
      for (const { message, routes, again = false } of messages) {
        for (let part = 0; part < message.meta.parts.length; part++) {
          parts.push({ message, part, route: routes[part] ?? unknownRoute, again });
        }
      }
      await addGroups(parts);
    },

    async addBounce(job: BounceJob, delayMs: number) {
      const isShared = job.kind === "failed" || job.kind === "delayed";
      await inTime(add(redis, "bounce", [bounceId(job), JSON.stringify(job)], delayMs, isShared));
    },

    async addDead(job: DeadJob) {
      await inTime(add(redis, "dead", [deadJobId(job), JSON.stringify(job)], 0, false));
    },

    async requestScan() {
      await inTime(redis.incr(scanRequestsKey));
    },

    async close() {
      redis.disconnect();
    },
  };
}

/**
 * @param flat  id and data of each job, one after the other
 * @param tell  tell a job that is being worked on that there is more to do
 */
async function add(
  redis: RedisConnection,
  queue: QueueName,
  flat: string[],
  delayMs: number,
  tell: boolean,
): Promise<number> {
  const keys = [queueBase(queue), queueBase(otherQueue(queue))];
  const head = [Date.now(), Math.max(0, Math.round(delayMs)), jobName, jobOptions, tell ? 1 : 0];
  const calls: Promise<unknown>[] = [];
  for (let start = 0; start < flat.length; start += jobsPerCall * 2) {
    calls.push(addJobs.run(redis, keys, [...head, ...flat.slice(start, start + jobsPerCall * 2)]));
  }
  return sumOf(calls);
}

async function sumOf(calls: Promise<unknown>[]): Promise<number> {
  // Not Promise.all: a rejection must not leave others running that the caller then repeats.
  const results = await Promise.allSettled(calls);
  let sum = 0;
  for (const result of results) {
    if (result.status === "rejected") throw result.reason;
    sum += Number(result.value);
  }
  return sum;
}

function inTime<T>(work: Promise<T>): Promise<T> {
  return withTimeout(
    work,
    timeLimitMs,
    () => new QueueTimeout(`Redis did not answer within ${timeLimitMs} ms`),
  );
}
