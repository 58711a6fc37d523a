/** The queues as they are with `queue.shards: 1`, on a connection of the test. */
import { queuePrefix, type RedisConnection } from "../../shared/runtime/redis.ts";
import type { Shard, Shards } from "../../shared/shards/shard.ts";

export function onlyShard(redis: RedisConnection): Shard {
  return { prefix: queuePrefix, redis };
}

export function onlyShards(redis: RedisConnection): Shards {
  const shard = onlyShard(redis);
  return { all: [shard], of: () => shard };
}
