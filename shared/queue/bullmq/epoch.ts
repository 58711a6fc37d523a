/** The epoch: a random value in a shard that is lost when its Redis is emptied, so that every process notices. Not BullMQ's. */
import { randomUUID } from "node:crypto";
import { Script } from "../../runtime/redis-script.ts";
import type { Shard } from "../../shards/shard.ts";
import { ownKey } from "./keys.ts";

export function epochKey(shard: Pick<Shard, "prefix">): string {
  return ownKey(shard, "epoch");
}

/** Begins an epoch where there is none. KEYS: the epoch. ARGV: a new one. Returns the one that stands. It runs also when Redis is full. */
const beginScript = new Script(
  `
local epoch = redis.call("GET", KEYS[1])
if epoch then return epoch end
redis.call("SET", KEYS[1], ARGV[1])
return ARGV[1]
`,
  { whenFull: true },
);

/** The epoch; begins a new one when there is none. */
export async function readEpoch(shard: Shard): Promise<string> {
  const key = epochKey(shard);
  const epoch = await shard.redis.get(key);
  return epoch ?? String(await beginScript.run(shard.redis, [key], [randomUUID()]));
}
