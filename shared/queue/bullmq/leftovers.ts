/** Removes what BullMQ and our own scripts leave of queues in a shard that has no jobs any more. It owns nothing; the connection is the caller's. */
import { Script } from "../../runtime/redis-script.ts";
import type { Shard } from "../../shards/shard.ts";
import { queueNames } from "../contract/contract.ts";
import { ownKey, queueBase } from "./keys.ts";

/**
 * Removes the keys of queues that have no job. KEYS: bases of all queues of the shard, then further keys.
 * ARGV: how many of KEYS are bases. Returns 1, or 0 when there is a job.
 */
const removeScript = new Script(
  `
local bases = tonumber(ARGV[1])
for i = 1, bases do
  for _, name in ipairs({"wait", "active", "delayed", "failed"}) do
    if redis.call("EXISTS", KEYS[i] .. name) == 1 then return 0 end
  end
end
for i = 1, bases do
  for _, name in ipairs({"meta", "id", "events", "marker", "stalled", "stalled-check", "pc"}) do
    redis.call("DEL", KEYS[i] .. name)
  end
end
for i = bases + 1, #KEYS do redis.call("DEL", KEYS[i]) end
return 1
`,
  { whenFull: true },
);

/** @returns whether it has none. @throws Error of Redis */
export async function removeEmptyQueues(shard: Shard): Promise<boolean> {
  const bases = queueNames.map((queue) => queueBase(shard, queue));
  const others = (["epoch", "keeper:heartbeat", "replaced"] as const).map((name) => ownKey(shard, name));
  return Number(await removeScript.run(shard.redis, [...bases, ...others], [bases.length])) === 1;
}
