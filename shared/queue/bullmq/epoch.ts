/** The epoch: a random value in a shard that is lost when its Redis is emptied, so that every process notices. Not BullMQ's. */
import { randomUUID } from "node:crypto";
import type { Shard } from "../../shards/shard.ts";
import { ownKey } from "./keys.ts";

export function epochKey(shard: Pick<Shard, "prefix">): string {
  return ownKey(shard, "epoch");
}

/** The epoch; begins a new one when there is none. */
export async function readEpoch(shard: Shard): Promise<string> {
  const key = epochKey(shard);
  const epoch = await shard.redis.get(key);
  if (epoch !== null) return epoch;
  const begun = randomUUID();
  // SET NX GET: the old value if another process was faster.
  return (await shard.redis.set(key, begun, "NX", "GET")) ?? begun;
}
