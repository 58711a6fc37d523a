/** Reads jobs from Redis: by id, by page, and whole queues in chunks. It owns nothing; the connection is the caller's. */
import type { RedisConnection } from "../../runtime/redis.ts";
import { delayedScoreFactor, heldFromScore, jobKey, queueBase, queueKey } from "../bullmq/keys.ts";
import { findGroups } from "../bullmq/scripts.ts";
import { type DeliveryJob, deliveryJobSchema, type QueueName } from "../contract/contract.ts";
import { parseDeadJob } from "../contract/dead-job.ts";
import type { Holds } from "../holds/store.ts";
import type { InspectedJob, JobStatus } from "./rows.ts";

export type ListedQueue = Exclude<QueueName, "bounce">;
export const listedQueues: readonly ListedQueue[] = ["delivery", "delivery-slow", "dead"];

/** Where a job was found. */
export interface Place {
  jobId: string;
  queue: ListedQueue;
  status: JobStatus;
  dueAtMs?: number;
}

const chunkSize = 500;
/** Parts of a message that are looked for: one for each recipient that the default limit allows. */
const maxParts = 1024;

/** The jobs at these places, as far as they are still there and can be read. */
export async function readJobs(
  redis: RedisConnection,
  places: Place[],
  holds: Pick<Holds, "match">,
): Promise<InspectedJob[]> {
  if (places.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const { queue, jobId } of places) pipeline.hget(jobKey(queue, jobId), "data");
  const results = (await pipeline.exec()) ?? [];
  return places.flatMap((place, index) => {
    const [error, text] = results[index] ?? [];
    if (error) throw error;
    return typeof text === "string" ? inspect(place, text, holds) : [];
  });
}

function inspect(place: Place, text: string, holds: Pick<Holds, "match">): InspectedJob[] {
  const data = parseJson(text);
  if (place.queue === "dead") {
    const dead = parseDeadJob(data);
    return dead === undefined ? [] : [{ queue: "dead", status: "dead", job: dead.job, dead }];
  }
  const parsed = deliveryJobSchema.safeParse(data);
  if (!parsed.success) return [];
  const inspected: InspectedJob = {
    queue: place.queue,
    status: place.status,
    job: parsed.data as DeliveryJob,
  };
  if (place.status === "deferred" && place.dueAtMs !== undefined) inspected.dueAtMs = place.dueAtMs;
  if (place.status === "held") {
    const hold = holds.match(inspected.job);
    if (hold !== undefined) inspected.hold = hold;
  }
  return [inspected];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Where each of these jobs is; those that are nowhere are left out. A job id may be in `dead` besides. */
export async function locate(redis: RedisConnection, jobIds: string[]): Promise<Place[]> {
  const pipeline = redis.pipeline();
  for (const jobId of jobIds) {
    for (const queue of listedQueues) {
      pipeline.exists(jobKey(queue, jobId));
      pipeline.zscore(queueKey(queue, "delayed"), jobId);
      pipeline.exists(`${jobKey(queue, jobId)}:lock`);
    }
  }
  const values = ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
  const places: Place[] = [];
  let at = 0;
  for (const jobId of jobIds) {
    for (const queue of listedQueues) {
      const [exists, score, locked] = values.slice(at, at + 3);
      at += 3;
      if (exists !== 1) continue;
      if (queue === "dead") places.push({ jobId, queue, status: "dead" });
      else if (score !== null) places.push(delayedPlace(queue, jobId, Number(score)));
      else places.push({ jobId, queue, status: locked === 1 ? "active" : "waiting" });
    }
  }
  return places;
}

/** The ids of the jobs of a message. */
export async function jobIdsOfMessage(redis: RedisConnection, messageId: string): Promise<string[]> {
  const found = (await findGroups.run(redis, listedQueues.map(queueBase), [
    messageId,
    maxParts,
  ])) as number[][];
  return [...new Set(found.flat())].sort((a, b) => a - b).map((part) => `${messageId}-${part}`);
}

/** A page of a queue's jobs in one status, in the order in which they come next. */
export async function pageOf(
  redis: RedisConnection,
  queue: ListedQueue,
  status: JobStatus,
  offset: number,
  limit: number,
): Promise<Place[]> {
  switch (status) {
    case "waiting":
    case "dead": {
      // Taken from the tail.
      const ids = await redis.lrange(queueKey(queue, "wait"), -(offset + limit), -(offset + 1));
      return ids.reverse().map((jobId) => ({ jobId, queue, status }));
    }
    case "active": {
      const ids = await redis.lrange(queueKey(queue, "active"), offset, offset + limit - 1);
      return ids.map((jobId) => ({ jobId, queue, status }));
    }
    case "deferred":
    case "held": {
      const key = queueKey(queue, "delayed");
      const deferred = status === "held" ? await redis.zcount(key, "-inf", `(${heldFromScore}`) : 0;
      const first = deferred + offset;
      const flat = await redis.zrange(key, String(first), String(first + limit - 1), "WITHSCORES");
      return pairs(flat)
        .map(([jobId, score]) => delayedPlace(queue, jobId, score))
        .filter((place) => place.status === status);
    }
  }
}

/**
 * Calls back with every job of a queue in one status, chunk by chunk, while jobs come and go. None that stays is left
 * out; one may come twice.
 * @param each  returns how many of the chunk left this status by it
 */
export async function forEachPlace(
  redis: RedisConnection,
  queue: ListedQueue,
  status: JobStatus,
  each: (places: Place[]) => Promise<number>,
): Promise<void> {
  if (status === "deferred") {
    // ZSCAN returns all that is there from beginning to end, whatever happens to the rest.
    let cursor = "0";
    do {
      const [next, flat] = await redis.zscan(queueKey(queue, "delayed"), cursor, "COUNT", chunkSize);
      cursor = next;
      const places = pairs(flat)
        .map(([jobId, score]) => delayedPlace(queue, jobId, score))
        .filter((place) => place.status === "deferred");
      if (places.length > 0) await each(places);
    } while (cursor !== "0");
    return;
  }
  if (status === "held") {
    for (let skip = 0; ; ) {
      const flat = await redis.zrangebyscore(
        queueKey(queue, "delayed"),
        heldFromScore,
        "+inf",
        "WITHSCORES",
        "LIMIT",
        skip,
        chunkSize,
      );
      const places = pairs(flat).map(([jobId, score]) => delayedPlace(queue, jobId, score));
      if (places.length === 0) return;
      skip += places.length - (await each(places));
    }
  }
  // Lists grow at the head and shrink at the tail: from the head on, growth shows some twice, and nothing is left out.
  const key = queueKey(queue, status === "active" ? "active" : "wait");
  for (let start = 0; ; ) {
    const ids = await redis.lrange(key, start, start + chunkSize - 1);
    if (ids.length === 0) return;
    start += ids.length - (await each(ids.map((jobId) => ({ jobId, queue, status }))));
  }
}

/** Which statuses a queue's jobs can have. */
export function statusesOf(queue: ListedQueue): readonly JobStatus[] {
  return queue === "dead" ? ["dead"] : ["active", "waiting", "deferred", "held"];
}

function delayedPlace(queue: ListedQueue, jobId: string, score: number): Place {
  if (score >= heldFromScore) return { jobId, queue, status: "held" };
  return { jobId, queue, status: "deferred", dueAtMs: Math.floor(score / delayedScoreFactor) };
}

/** ioredis gives member, score, member, score … or, by RESP3, [member, score] each. */
function pairs(flat: unknown[]): [string, number][] {
  const plain = flat.flat();
  const result: [string, number][] = [];
  for (let i = 0; i + 1 < plain.length; i += 2) result.push([String(plain[i]), Number(plain[i + 1])]);
  return result;
}
