/**
 * Lua scripts on jobs that no worker has: each does in one step what BullMQ's own calls would do in several, or job by
 * job. jobs.ts calls them. The layout is that of BullMQ 6.7.0: docs/decisions/0006-bullmq-inside.md.
 */
import { Script } from "../../runtime/redis-script.ts";
import { delayedScoreFactor, heldFromScore } from "./due-times.ts";

/** Wakes idle workers, which block on the queue's marker: for the first delayed job, or for a waiting one. */
export const wakeWorkers = `
local function wakeForDelayed(base)
  local first = redis.call("ZRANGE", base .. "delayed", 0, 0, "WITHSCORES")
  if first[2] then redis.call("ZADD", base .. "marker", first[2] / ${delayedScoreFactor}, "1") end
end
local function wakeForWaiting(base)
  if redis.call("HEXISTS", base .. "meta", "paused") == 0 then redis.call("ZADD", base .. "marker", 0, "0") end
end
`;

/**
 * Adds jobs that exist in neither of two queues. BullMQ's addBulk runs one script per job; this runs one for all.
 * No priority is stored: none is the same as 0 to BullMQ, and each field of a hash costs some 80 octets a job.
 * An active job can be flagged as having more to do (see finishJob). While the scan mark stands, a job counts as started
 * once already: `ats` is BullMQ's count of starts.
 * When Redis is full it runs for the queues `bounce` and `dead` only: a delivery job whose recipients failed ends with it.
 * KEYS: base of the queue, base of the other queue where the same job may be, the scan mark.
 * ARGV: now, delay (ms), name, opts (JSON), flag active jobs (1|0), then id and data (JSON) of each.
 * Returns how many were added.
 */
const addLua = `${wakeWorkers}
local base, other = KEYS[1], KEYS[2]
local isMarked = redis.call("EXISTS", KEYS[3]) == 1
local now, delay = tonumber(ARGV[1]), tonumber(ARGV[2])
local added = 0
for i = 6, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call("EXISTS", base .. id, other .. id) == 0 then
    redis.call("HSET", base .. id, "name", ARGV[3], "data", ARGV[i + 1], "opts", ARGV[4],
      "timestamp", ARGV[1], "delay", ARGV[2])
    if isMarked then redis.call("HSET", base .. id, "ats", "1") end
    if delay > 0 then
      redis.call("ZADD", base .. "delayed", (now + delay) * ${delayedScoreFactor}, id)
    else
      redis.call("LPUSH", base .. "wait", id)
    end
    added = added + 1
  elseif ARGV[5] == "1" and redis.call("EXISTS", base .. id .. ":lock") == 1 then
    redis.call("HSET", base .. id, "more", "1")
  end
end
if added > 0 then
  if delay > 0 then wakeForDelayed(base) else wakeForWaiting(base) end
end
return added
`;
export const addScript = new Script(addLua);
export const addWhenFullScript = new Script(addLua, { whenFull: true });

/**
 * Makes delayed jobs due at another time; held jobs stay held.
 * KEYS: base of the queue. ARGV: score, then ids. Returns how many it moved.
 */
export const makeDueScript = new Script(
  `${wakeWorkers}
local base, moved = KEYS[1], 0
for i = 2, #ARGV do
  local old = redis.call("ZSCORE", base .. "delayed", ARGV[i])
  if old and tonumber(old) < ${heldFromScore} then
    redis.call("ZADD", base .. "delayed", ARGV[1], ARGV[i])
    moved = moved + 1
  end
end
if moved > 0 then wakeForDelayed(base) end
return moved
`,
  { whenFull: true },
);

/**
 * Holds jobs that are delayed or wait for a worker. A job that is held already stays held since the first time.
 * LREM searches `wait` from the head, where callers that go through the whole list are.
 * KEYS: base of the queue. ARGV: score, then ids. Returns how many are held now.
 */
export const holdScript = new Script(
  `${wakeWorkers}
local base, held = KEYS[1], 0
for i = 2, #ARGV do
  local id = ARGV[i]
  local old = redis.call("ZSCORE", base .. "delayed", id)
  if old or redis.call("LREM", base .. "wait", 1, id) == 1 then
    if not old or tonumber(old) < ${heldFromScore} then redis.call("ZADD", base .. "delayed", ARGV[1], id) end
    held = held + 1
  end
end
if held > 0 then wakeForDelayed(base) end
return held
`,
  { whenFull: true },
);

/**
 * Makes held jobs due, each with a new payload, where score and payload are still those that the caller read.
 * KEYS: base of the queue. ARGV: score, then id, score as read, SHA-1 of the data as read (hex) and new data of each.
 * Returns the ids of the jobs that had changed, and stay as they are.
 */
export const releaseScript = new Script(
  `${wakeWorkers}
local base, changed = KEYS[1], {}
for i = 2, #ARGV, 4 do
  local id = ARGV[i]
  local score = redis.call("ZSCORE", base .. "delayed", id)
  local data = redis.call("HGET", base .. id, "data")
  if score and data and tonumber(score) == tonumber(ARGV[i + 1]) and redis.sha1hex(data) == ARGV[i + 2] then
    redis.call("HSET", base .. id, "data", ARGV[i + 3])
    redis.call("ZADD", base .. "delayed", ARGV[1], id)
  else
    changed[#changed + 1] = id
  end
end
wakeForDelayed(base)
return changed
`,
  { whenFull: true },
);

/** Removes jobs that no worker has. KEYS: base of the queue. ARGV: ids. Returns how many it removed. */
export const removeScript = new Script(
  `
local base, removed = KEYS[1], 0
for i = 1, #ARGV do
  local id = ARGV[i]
  if redis.call("EXISTS", base .. id .. ":lock") == 0 and redis.call("EXISTS", base .. id) == 1 then
    if redis.call("ZREM", base .. "delayed", id) == 1 or redis.call("LREM", base .. "wait", 1, id) == 1
      or redis.call("ZREM", base .. "failed", id) == 1 then
      redis.call("DEL", base .. id)
      removed = removed + 1
    end
  end
end
return removed
`,
  { whenFull: true },
);

/**
 * The delivery jobs of a message. KEYS: bases of queues. ARGV: message id, the first and the last recipient group to look for.
 * Returns for each queue the numbers of the groups that have a job there.
 */
export const findGroupsScript = new Script(`
local found = {}
for q = 1, #KEYS do
  found[q] = {}
  for group = tonumber(ARGV[2]), tonumber(ARGV[3]) do
    if redis.call("EXISTS", KEYS[q] .. ARGV[1] .. "-" .. group) == 1 then table.insert(found[q], group) end
  end
end
return found
`);

/** Makes up to a thousand failed jobs wait again. KEYS: base of the queue. Returns how many. */
export const requeueFailedScript = new Script(
  `${wakeWorkers}
local base = KEYS[1]
local ids = redis.call("ZRANGE", base .. "failed", 0, 999)
for _, id in ipairs(ids) do
  redis.call("ZREM", base .. "failed", id)
  if redis.call("EXISTS", base .. id) == 1 then
    redis.call("HDEL", base .. id, "failedReason", "finishedOn", "stacktrace", "defa", "stc")
    redis.call("LPUSH", base .. "wait", id)
  end
end
if #ids > 0 then wakeForWaiting(base) end
return #ids
`,
  { whenFull: true },
);
