/**
 * Gives jobs that no worker has another payload, and holds them or makes them due now in the same step. All are in one shard. A job that changes
 * meanwhile is read again. It owns nothing; the connection is the caller's.
 */
import { createHash } from "node:crypto";
import { Script } from "../../runtime/redis-script.ts";
import type { Shard } from "../../shards/shard.ts";
import type { QueueName } from "../contract/contract.ts";
import { heldDueMs, heldFromScore, heldSinceMs, scoreOf } from "./due-times.ts";
import { jobKey, ownKey, queueBase, queueKey } from "./keys.ts";
import { wakeWorkers } from "./scripts.ts";

/**
 * KEYS: base of the queue, the jobs with another payload. ARGV: score that is due now, score that means held, now, then id,
 * SHA-1 of the data as read (hex), new data, and 1 (to be held) or 0 of each.
 * A held job that stays held keeps its score: since when it is held. Returns 1 done, 0 it had changed, -1 a worker has it.
 */
const replaceScript = new Script(`${wakeWorkers}
local base, results, woken = KEYS[1], {}, 0
for i = 4, #ARGV, 4 do
  local id = ARGV[i]
  local result = 0
  local data = redis.call("HGET", base .. id, "data")
  if redis.call("EXISTS", base .. id .. ":lock") == 1 then
    result = -1
  elseif data and redis.sha1hex(data) == ARGV[i + 1] then
    local score = redis.call("ZSCORE", base .. "delayed", id)
    local hold = ARGV[i + 3] == "1"
    local isHeld = score and tonumber(score) >= ${heldFromScore}
    result = 1
    if score then
      if hold and not isHeld then redis.call("ZADD", base .. "delayed", ARGV[2], id) end
      if not hold then redis.call("ZADD", base .. "delayed", ARGV[1], id) end
    elseif hold then
      if redis.call("LREM", base .. "wait", 1, id) == 1 then
        redis.call("ZADD", base .. "delayed", ARGV[2], id)
      else
        result = -1
      end
    end
    if result == 1 then
      redis.call("HSET", base .. id, "data", ARGV[i + 2])
      redis.call("ZADD", KEYS[2], ARGV[3], id)
      woken = woken + 1
    end
  end
  results[#results + 1] = result
end
if woken > 0 then wakeForDelayed(base) end
return results
`);

/** A sorted set: jobs that got another payload lately and keep their place, by the time in epoch milliseconds. */
const replacedKey = (shard: Shard): string => ownKey(shard, "replaced");
/** Longer than any scan of the queues takes. */
const rememberedMs = 600_000;
const tries = 3;

export interface ReplacedJob {
  payload: object;
  hold: boolean;
}

/**
 * @param decide  the new payload of a job that has been held for so long, in milliseconds (`undefined`: it is not held)
 * @returns the jobs that have their new payload, and those that a worker has, or that ended
 * @throws Error of Redis; what was done until then stays done
 */
export async function replacePayloads(
  shard: Shard,
  queue: QueueName,
  jobIds: readonly string[],
  nowMs: number,
  decide: (jobId: string, payload: unknown, heldForMs: number | undefined) => ReplacedJob | undefined,
): Promise<{ replaced: string[]; left: string[] }> {
  const replaced: string[] = [];
  const left: string[] = [];
  let open = [...jobIds];
  for (let round = 0; round < tries && open.length > 0; round++) {
    const pipeline = shard.redis.pipeline();
    for (const jobId of open) {
      pipeline.zscore(queueKey(shard, queue, "delayed"), jobId);
      pipeline.hget(jobKey(shard, queue, jobId), "data");
    }
    const values = ((await pipeline.exec()) ?? []).map(([error, value]) => {
      if (error) throw error;
      return value;
    });
    const given: string[] = [];
    const args: string[] = [];
    open.forEach((jobId, index) => {
      const [score, data] = values.slice(2 * index, 2 * index + 2);
      const since = score === null ? undefined : heldSinceMs(Number(score));
      const heldForMs = since === undefined ? undefined : Math.max(0, nowMs - since);
      const decided = typeof data === "string" ? decide(jobId, parse(data), heldForMs) : undefined;
      if (typeof data !== "string" || decided === undefined) {
        left.push(jobId);
        return;
      }
      const sha1 = createHash("sha1").update(data).digest("hex");
      given.push(jobId);
      args.push(jobId, sha1, JSON.stringify(decided.payload), decided.hold ? "1" : "0");
    });
    if (given.length === 0) break;
    const head = [scoreOf(Math.round(nowMs)), scoreOf(heldDueMs(nowMs)), Math.round(nowMs)];
    const results = (await replaceScript.run(
      shard.redis,
      [queueBase(shard, queue), replacedKey(shard)],
      [...head, ...args],
    )) as number[];
    open = [];
    given.forEach((jobId, index) => {
      if (results[index] === 1) replaced.push(jobId);
      else if (results[index] === -1) left.push(jobId);
      else open.push(jobId);
    });
  }
  await shard.redis.zremrangebyscore(replacedKey(shard), "-inf", nowMs - rememberedMs);
  return { replaced, left: [...left, ...open] };
}

/** The jobs that got another payload since then, whatever else of them changed. */
export function replacedSince(shard: Shard, sinceMs: number): Promise<string[]> {
  return shard.redis.zrangebyscore(replacedKey(shard), Math.round(sinceMs), "+inf");
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
