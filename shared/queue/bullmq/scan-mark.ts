/**
 * A mark in a shard, ours alone: the reconciler compares the queues with the spool, or did a moment ago. It may have
 * enqueued a message before that message's publisher does, and a worker may have delivered it and ended its job. So a job
 * that is added while the mark stands counts as started before, and its worker reads the states `fresh`.
 */
import { Script } from "../../runtime/redis-script.ts";
import type { Shard } from "../../shards/shard.ts";
import { ownKey } from "./keys.ts";

export function scanMarkKey(shard: Pick<Shard, "prefix">): string {
  return ownKey(shard, "keeper:comparing");
}

/** Longer than a publisher takes from a message's acceptance to its job; one that needs longer marks it as a redelivery itself. */
const standsMs = 30_000;

/** KEYS: the mark. ARGV: how long it stands (ms). It runs also when Redis is full: a comparison may add reports even then. */
const markScript = new Script(`return redis.call("SET", KEYS[1], "1", "PX", ARGV[1])`, { whenFull: true });

/** To be called before each look for jobs that may be missing. */
export async function markScan(shard: Shard): Promise<void> {
  await markScript.run(shard.redis, [scanMarkKey(shard)], [standsMs]);
}
