/** A random value that lives as long as what Redis remembers: by it everyone notices that Redis was emptied. */
import { randomUUID } from "node:crypto";
import type { RedisConnection } from "../../runtime/redis.ts";
import { epochKey } from "./keys.ts";

/** The epoch; a new one begins when there is none. */
export async function readEpoch(redis: RedisConnection): Promise<string> {
  const epoch = await redis.get(epochKey);
  if (epoch !== null) return epoch;
  const begun = randomUUID();
  // SET NX GET: the old value if another process was faster.
  return (await redis.set(epochKey, begun, "NX", "GET")) ?? begun;
}
