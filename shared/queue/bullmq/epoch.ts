/** The epoch: a random value in Redis that is lost when Redis is emptied, so that every process notices. Not BullMQ's. */
import { randomUUID } from "node:crypto";
import { queuePrefix, type RedisConnection } from "../../runtime/redis.ts";

export const epochKey = `${queuePrefix}:epoch`;

/** The epoch; begins a new one when there is none. */
export async function readEpoch(redis: RedisConnection): Promise<string> {
  const epoch = await redis.get(epochKey);
  if (epoch !== null) return epoch;
  const begun = randomUUID();
  // SET NX GET: the old value if another process was faster.
  return (await redis.set(epochKey, begun, "NX", "GET")) ?? begun;
}
