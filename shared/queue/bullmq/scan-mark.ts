/**
 * A mark in Redis, ours alone: the reconciler compares the queues with the spool, or did a moment ago. It may have
 * enqueued a message before that message's publisher does, and a worker may have delivered it and ended its job. So a job
 * that is added while the mark stands counts as started before, and its worker reads the states `fresh`.
 */
import { queuePrefix, type RedisConnection } from "../../runtime/redis.ts";

export const scanMarkKey = `${queuePrefix}:keeper:comparing`;

/** Longer than a publisher takes from a message's acceptance to its job; one that needs longer marks it as a redelivery itself. */
const standsMs = 30_000;

/** To be called before each look for jobs that may be missing. */
export async function markScan(redis: RedisConnection): Promise<void> {
  await redis.set(scanMarkKey, "1", "PX", standsMs);
}
