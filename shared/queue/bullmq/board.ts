/** The queues as BullMQ objects, for dashboards that only read them. Owns one connection; close() ends it. */
import { Queue } from "bullmq";
import type { Logger } from "../../runtime/log.ts";
import { createRedis, queuePrefix, type RedisConfig } from "../../runtime/redis.ts";
import { queueNames } from "../contract/contract.ts";

export interface BoardQueues {
  readonly queues: readonly Queue[];
  close(): Promise<void>;
}

export function openBoardQueues(redisConfig: RedisConfig, log: Logger): BoardQueues {
  const redis = createRedis(redisConfig, "plain", log);
  const queues = queueNames.map((name) => {
    const queue = new Queue(name, {
      connection: redis,
      prefix: queuePrefix,
      // A dashboard writes no metadata, and opens while Redis is away.
      skipMetasUpdate: true,
      skipVersionCheck: true,
      skipWaitingForReady: true,
    });
    queue.on("error", (error) => log.debug({ err: error, queue: name }, "queue board"));
    return queue;
  });
  return {
    queues,
    async close() {
      redis.disconnect();
      await Promise.allSettled(queues.map((queue) => queue.close()));
    },
  };
}
