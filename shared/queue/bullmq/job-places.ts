/** Finds jobs in BullMQ's lists and sets: by id, by page, and whole queues in chunks. It owns nothing; connections are the caller's. */
import type { RedisConnection } from "../../runtime/redis.ts";
import { askByShard, type Shard, type Shards } from "../../shards/shard.ts";
import { otherQueue, type QueueName, queueNames } from "../contract/contract.ts";
import { dueMsOf, heldFromScore } from "./due-times.ts";
import { jobKey, lockKey, queueBase, queueKey } from "./keys.ts";
import { findGroupsScript } from "./scripts.ts";

/** `waiting` for a worker, `active` at one, `deferred` until it is due, `held` until it is released; all of `dead` are `dead`. */
export type JobStatus = "waiting" | "active" | "deferred" | "held" | "dead";

/** The queues that hold mail. */
export type ListedQueue = Exclude<QueueName, "bounce">;
export const listedQueues: readonly ListedQueue[] = ["delivery", "delivery-slow", "dead"];

/** Where a job was found. */
export interface JobPlace {
  jobId: string;
  queue: ListedQueue;
  status: JobStatus;
  /** Epoch milliseconds; only for deferred ones. */
  dueAtMs?: number;
}

export type QueueCounts = Record<QueueName, Record<"waiting" | "active" | "deferred" | "held", number>>;

const chunkSize = 500;
/** Jobs in one pipeline: a message alone may need thousands. */
const lookedForAtOnce = 1_000;
/** Recipient groups of a message that are looked for in one step, which keeps Redis busy for a millisecond. */
const groupsAtOnce = 1024;

/** Which statuses a queue's jobs can have. */
export function statusesOf(queue: ListedQueue): readonly JobStatus[] {
  return queue === "dead" ? ["dead"] : ["active", "waiting", "deferred", "held"];
}

/** The payloads of the jobs at these places, as far as the jobs are still there and their payloads are JSON. */
export async function readPayloads<P extends JobPlace>(
  shards: Pick<Shards, "of">,
  places: readonly P[],
): Promise<{ place: P; payload: unknown }[]> {
  const texts = await askByShard(shards, places, jobIdOf, (shard, some) => {
    const pipeline = shard.redis.pipeline();
    for (const { queue, jobId } of some) pipeline.hget(jobKey(shard, queue, jobId), "data");
    return valuesOf(pipeline);
  });
  return places.flatMap((place, index) => {
    const text = texts[index];
    if (typeof text !== "string") return [];
    try {
      return [{ place, payload: JSON.parse(text) as unknown }];
    } catch {
      return [];
    }
  });
}

/** Where each of these jobs is; those that are nowhere are left out. A job id may be in `dead` besides. */
export async function locateJobs(shards: Pick<Shards, "of">, jobIds: readonly string[]): Promise<JobPlace[]> {
  const places = await askByShard(
    shards,
    jobIds,
    (jobId) => jobId,
    (shard, some) => placesOf(shard, some),
  );
  return places.flat();
}

/** @returns for each job where it is: in none, one or two of the queues */
async function placesOf(shard: Shard, jobIds: readonly string[]): Promise<JobPlace[][]> {
  const pipeline = shard.redis.pipeline();
  for (const jobId of jobIds) {
    for (const queue of listedQueues) {
      pipeline.exists(jobKey(shard, queue, jobId));
      pipeline.zscore(queueKey(shard, queue, "delayed"), jobId);
      pipeline.exists(lockKey(shard, queue, jobId));
    }
  }
  const values = await valuesOf(pipeline);
  let at = 0;
  return jobIds.map((jobId) =>
    listedQueues.flatMap((queue): JobPlace[] => {
      const [exists, score, locked] = values.slice(at, at + 3);
      at += 3;
      if (exists !== 1) return [];
      if (queue === "dead") return [{ jobId, queue, status: "dead" }];
      if (score !== null) return [delayedPlace(queue, jobId, Number(score))];
      return [{ jobId, queue, status: locked === 1 ? "active" : "waiting" }];
    }),
  );
}

/** For each job whether it exists, in its queue or in the other one where it may be: one look at both, so that a job on its way is seen. */
export function jobsExist(
  shards: Pick<Shards, "of">,
  jobs: readonly { queue: QueueName; jobId: string }[],
): Promise<boolean[]> {
  return askByShard(shards, jobs, jobIdOf, async (shard, own) => {
    const exist: boolean[] = [];
    for (let start = 0; start < own.length; start += lookedForAtOnce) {
      const pipeline = shard.redis.pipeline();
      for (const { queue, jobId } of own.slice(start, start + lookedForAtOnce))
        pipeline.exists(jobKey(shard, queue, jobId), jobKey(shard, otherQueue(queue), jobId));
      for (const count of await valuesOf(pipeline)) exist.push(Number(count) > 0);
    }
    return exist;
  });
}

const jobIdOf = ({ jobId }: { jobId: string }): string => jobId;

/**
 * The ids of the delivery jobs of a message.
 * @param maxGroups  recipient groups that a message may have; where the last of them have jobs, more are looked for: the
 *                   limit may have been higher when the message was accepted
 */
export async function jobIdsOfMessage(
  shards: Pick<Shards, "of">,
  messageId: string,
  maxGroups: number,
): Promise<string[]> {
  const groups = new Set<number>();
  const shard = shards.of(messageId);
  const keys = listedQueues.map((queue) => queueBase(shard, queue));
  let hasFound = false;
  for (let first = 0; first < maxGroups || hasFound; first += groupsAtOnce) {
    const range = [messageId, first, first + groupsAtOnce - 1];
    const found = ((await findGroupsScript.run(shard.redis, keys, range)) as number[][]).flat();
    hasFound = found.length > 0;
    for (const group of found) groups.add(group);
  }
  return [...groups].sort((a, b) => a - b).map((group) => `${messageId}-${group}`);
}

/** How many jobs wait for a worker, in all shards. @param queues  both delivery queues when absent */
export async function countWaiting(
  { all }: Pick<Shards, "all">,
  queues: readonly QueueName[] = ["delivery", "delivery-slow"],
): Promise<number> {
  const counts = await Promise.all(
    all.flatMap((shard) => queues.map((queue) => shard.redis.llen(queueKey(shard, queue, "wait")))),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Jobs of all shards by queue and status; those of `dead` count as waiting. */
export async function countJobs({ all }: Pick<Shards, "all">): Promise<QueueCounts> {
  const counts = Object.fromEntries(
    queueNames.map((queue) => [queue, { waiting: 0, active: 0, deferred: 0, held: 0 }]),
  ) as QueueCounts;
  for (const values of await Promise.all(all.map(countsOf))) {
    queueNames.forEach((queue, index) => {
      const [waiting = 0, active = 0, deferred = 0, held = 0] = values.slice(index * 4, index * 4 + 4);
      const sums = counts[queue];
      sums.waiting += waiting;
      sums.active += active;
      sums.deferred += deferred;
      sums.held += held;
    });
  }
  return counts;
}

async function countsOf(shard: Shard): Promise<number[]> {
  const pipeline = shard.redis.pipeline();
  for (const queue of queueNames) {
    pipeline.llen(queueKey(shard, queue, "wait"));
    pipeline.llen(queueKey(shard, queue, "active"));
    pipeline.zcount(queueKey(shard, queue, "delayed"), "-inf", `(${heldFromScore}`);
    pipeline.zcount(queueKey(shard, queue, "delayed"), heldFromScore, "+inf");
  }
  return (await valuesOf(pipeline)).map(Number);
}

/** Whether a shard has no job in any queue: one look at all, so that a job on its way is seen. */
export async function isEmpty(shard: Shard): Promise<boolean> {
  const keys = queueNames.flatMap((queue) =>
    (["wait", "active", "delayed", "failed"] as const).map((name) => queueKey(shard, queue, name)),
  );
  return (await shard.redis.exists(...keys)) === 0;
}

/** A page of a queue's jobs in one status, in the order in which workers will take them. */
export async function pageOfJobs(
  shard: Shard,
  queue: ListedQueue,
  status: JobStatus,
  offset: number,
  limit: number,
): Promise<JobPlace[]> {
  switch (status) {
    case "waiting":
    case "dead": {
      // Workers pop the tail.
      const ids = await shard.redis.lrange(queueKey(shard, queue, "wait"), -(offset + limit), -(offset + 1));
      return ids.reverse().map((jobId) => ({ jobId, queue, status }));
    }
    case "active": {
      const ids = await shard.redis.lrange(queueKey(shard, queue, "active"), offset, offset + limit - 1);
      return ids.map((jobId) => ({ jobId, queue, status }));
    }
    case "deferred":
    case "held": {
      const key = queueKey(shard, queue, "delayed");
      const deferred = status === "held" ? await shard.redis.zcount(key, "-inf", `(${heldFromScore}`) : 0;
      const first = deferred + offset;
      const flat = await shard.redis.zrange(key, String(first), String(first + limit - 1), "WITHSCORES");
      return delayedPlaces(queue, flat).filter((place) => place.status === status);
    }
  }
}

/**
 * Calls back with every job of a queue in one status, chunk by chunk, while jobs come and go. None that stays is left
 * out; one may come twice.
 * @param each  returns how many of the chunk left this status by it
 */
export async function forEachJob(
  shard: Shard,
  queue: ListedQueue,
  status: JobStatus,
  each: (places: JobPlace[]) => Promise<number>,
): Promise<void> {
  switch (status) {
    case "deferred":
      for await (const places of scanDelayed(shard, queue, chunkSize)) {
        const deferred = places.filter((place) => place.status === "deferred");
        if (deferred.length > 0) await each(deferred);
      }
      return;
    case "held":
      return inChunks(each, async (start) =>
        delayedPlaces(
          queue,
          await shard.redis.zrangebyscore(
            queueKey(shard, queue, "delayed"),
            heldFromScore,
            "+inf",
            "WITHSCORES",
            "LIMIT",
            start,
            chunkSize,
          ),
        ),
      );
    case "active":
    case "waiting":
    case "dead": {
      // Lists grow at the head and shrink at the tail: read from the head, a growing list shows some jobs twice.
      const key = queueKey(shard, queue, status === "active" ? "active" : "wait");
      return inChunks(each, async (start) => {
        const ids = await shard.redis.lrange(key, start, start + chunkSize - 1);
        return ids.map((jobId) => ({ jobId, queue, status }));
      });
    }
  }
}

/**
 * The deferred and held jobs of a queue, chunk by chunk. ZSCAN returns every member that is there from beginning to end,
 * whatever happens to the others.
 * @param count  jobs in a chunk, about
 */
export async function* scanDelayed(
  shard: Shard,
  queue: ListedQueue,
  count: number,
): AsyncGenerator<JobPlace[]> {
  let cursor = "0";
  do {
    const [next, flat] = await shard.redis.zscan(queueKey(shard, queue, "delayed"), cursor, "COUNT", count);
    cursor = next;
    yield delayedPlaces(queue, flat);
  } while (cursor !== "0");
}

async function inChunks(
  each: (places: JobPlace[]) => Promise<number>,
  read: (start: number) => Promise<JobPlace[]>,
): Promise<void> {
  for (let start = 0; ; ) {
    const places = await read(start);
    if (places.length === 0) return;
    start += places.length - (await each(places));
  }
}

/** @param flat  member, score, member, score … or, by RESP3, [member, score] each */
export function delayedPlaces(queue: ListedQueue, flat: unknown[]): JobPlace[] {
  const plain = flat.flat();
  const places: JobPlace[] = [];
  for (let i = 0; i + 1 < plain.length; i += 2) {
    places.push(delayedPlace(queue, String(plain[i]), Number(plain[i + 1])));
  }
  return places;
}

function delayedPlace(queue: ListedQueue, jobId: string, score: number): JobPlace {
  if (score >= heldFromScore) return { jobId, queue, status: "held" };
  return { jobId, queue, status: "deferred", dueAtMs: dueMsOf(score) };
}

async function valuesOf(pipeline: ReturnType<RedisConnection["pipeline"]>): Promise<unknown[]> {
  return ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
}
