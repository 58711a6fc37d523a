/** Whether Redis takes writes in all shards of the configuration. Owns a connection to each server of them; close() ends these. */
import type { Logger } from "../runtime/log.ts";
import { queuePrefix, type RedisConfig, type RedisConnection } from "../runtime/redis.ts";
import { whyRedisFails } from "../runtime/redis-health.ts";
import { prefixesOf, type Shard } from "./shard.ts";
import { ShardConnections } from "./shard-connections.ts";

export interface ShardHealth {
  /** The connection to what there is once for the whole gateway. */
  readonly global: RedisConnection;
  /** @returns one line for an operator; `undefined` when all took the write */
  whyFails(): Promise<string | undefined>;
  close(): void;
}

export function watchShards(redisConfig: RedisConfig, log: Logger): ShardHealth {
  const connections = new ShardConnections(redisConfig, "plain", log);
  const shards = new Map<RedisConnection, Shard>();
  // One server may have several of them.
  for (const prefix of [queuePrefix, ...prefixesOf(redisConfig.shards ?? 1)]) {
    const shard = connections.of(prefix);
    if (!shards.has(shard.redis)) shards.set(shard.redis, shard);
  }
  return {
    global: connections.global,
    async whyFails() {
      const faults = await Promise.all(
        [...shards.values()].map(async ({ prefix, redis }) => {
          const fault = await whyRedisFails(redis, prefix);
          return fault === undefined || prefix === queuePrefix ? fault : `${fault} (shard ${prefix})`;
        }),
      );
      return faults.find((fault) => fault !== undefined);
    },
    close: () => connections.disconnect(),
  };
}
