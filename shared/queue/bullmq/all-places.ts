/**
 * Where all jobs of the listed queues of a shard are, without their payloads: in one step where they are few, else in chunks while
 * jobs come and go. It owns nothing; the connection is the caller's.
 */
import type { Shard } from "../../shards/shard.ts";
import {
  delayedPlaces,
  type JobPlace,
  type JobStatus,
  type ListedQueue,
  listedQueues,
  scanDelayed,
} from "./job-places.ts";
import { queueKey } from "./keys.ts";

/** A place, and which of the jobs of its queue and status is taken next: the one with the lowest order. */
export interface OrderedPlace extends JobPlace {
  order: number;
}

/** So many ids take Redis a millisecond or two. */
const chunk = 2_000;

interface Collection {
  queue: ListedQueue;
  name: "active" | "wait" | "delayed";
  /** Of the jobs in a list. */
  status?: JobStatus;
}

const collections: readonly Collection[] = listedQueues.flatMap((queue): Collection[] =>
  queue === "dead"
    ? [{ queue, name: "wait", status: "dead" }]
    : [
        { queue, name: "active", status: "active" },
        { queue, name: "wait", status: "waiting" },
        { queue, name: "delayed" },
      ],
);

/**
 * Calls back with the places of all jobs. A job that moves meanwhile may come twice, or not at all.
 * @returns whether they were read in one step, so that none is missing
 * @throws Error of Redis
 */
export async function forEachPlace(
  shard: Shard,
  each: (places: OrderedPlace[]) => Promise<void>,
): Promise<boolean> {
  const transaction = shard.redis.multi();
  for (const { queue, name } of collections) {
    const key = queueKey(shard, queue, name);
    if (name === "delayed") transaction.zrange(key, "0", String(chunk), "WITHSCORES");
    else transaction.lrange(key, 0, chunk);
  }
  const firsts = ((await transaction.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value as unknown[];
  });
  let isWhole = true;
  for (const [index, { queue, name, status }] of collections.entries()) {
    const first = firsts[index] ?? [];
    const members = name === "delayed" ? first.flat().length / 2 : first.length;
    if (members > chunk) {
      isWhole = false;
      if (status === undefined) {
        for await (const places of scanDelayed(shard, queue, chunk))
          if (places.length > 0) await each(places.map(ordered));
      } else await readList(shard, queue, status, each);
    } else if (members > 0) {
      await each(
        status === undefined ? delayedPlaces(queue, first).map(ordered) : listed(queue, status, first, 0),
      );
    }
  }
  return isWhole;
}

/** Lists grow at the head and shrink at the tail: read from the head, a growing list shows some jobs twice. */
async function readList(
  shard: Shard,
  queue: ListedQueue,
  status: JobStatus,
  each: (places: OrderedPlace[]) => Promise<void>,
): Promise<void> {
  const key = queueKey(shard, queue, status === "active" ? "active" : "wait");
  for (let start = 0; ; start += chunk) {
    const ids = await shard.redis.lrange(key, start, start + chunk - 1);
    if (ids.length === 0) return;
    await each(listed(queue, status, ids, start));
  }
}

/** @param start  the place of the first one, from the head; workers pop the tail */
function listed(queue: ListedQueue, status: JobStatus, ids: unknown[], start: number): OrderedPlace[] {
  return ids.map((id, index) => ({ jobId: String(id), queue, status, order: -(start + index) }));
}

/** Of a deferred or held job. */
function ordered(place: JobPlace): OrderedPlace {
  return { ...place, order: place.dueAtMs ?? 0 };
}
