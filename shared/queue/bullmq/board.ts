/** The queues of all shards as BullMQ objects, for dashboards that only read them. Owns connections and a timer; close() ends them. */
import { Queue } from "bullmq";
import type { Logger } from "../../runtime/log.ts";
import type { RedisConfig } from "../../runtime/redis.ts";
import { KnownShards } from "../../shards/known-shards.ts";
import type { Shard } from "../../shards/shard.ts";
import { ShardConnections } from "../../shards/shard-connections.ts";
import { queueNames } from "../contract/contract.ts";

export interface BoardQueues {
  /** Those of each shard together. */
  readonly queues: readonly Queue[];
  /** The prefix of the shard that a queue is in; "" where there is one shard only. */
  shardOf(queue: Queue): string;
  /** @param notify  called when `queues` has changed */
  onChange(notify: () => void): void;
  close(): Promise<void>;
}

export function openBoardQueues(redisConfig: RedisConfig, log: Logger): BoardQueues {
  const connections = new ShardConnections(redisConfig, "plain", log);
  const shards = new KnownShards(connections, redisConfig.shards ?? 1, log);
  /** By the prefix of a shard. Those of shards that are not in use any more stay open. */
  const opened = new Map<string, Queue[]>();
  const queuesOf = (shard: Shard): Queue[] => {
    const known = opened.get(shard.prefix);
    if (known !== undefined) return known;
    const queues = queueNames.map((name) => openQueue(name, shard, log));
    opened.set(shard.prefix, queues);
    return queues;
  };
  return {
    get queues() {
      return shards.all.flatMap(queuesOf);
    },
    shardOf: ({ opts }) => (shards.all.length === 1 ? "" : (opts.prefix ?? "")),
    onChange: (notify) => shards.onChange(notify),
    async close() {
      shards.close();
      connections.disconnect();
      await Promise.allSettled([...opened.values()].flat().map((queue) => queue.close()));
    },
  };
}

function openQueue(name: string, { prefix, redis }: Shard, log: Logger): Queue {
  const queue = new Queue(name, {
    connection: redis,
    prefix,
    // A dashboard writes no metadata, and opens while Redis is away.
    skipMetasUpdate: true,
    skipVersionCheck: true,
    skipWaitingForReady: true,
  });
  queue.on("error", (error) => log.debug({ err: error, queue: name, prefix }, "queue board"));
  return queue;
}
