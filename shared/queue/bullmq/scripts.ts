/**
 * What we do to jobs inside Redis in one step, where BullMQ's own calls would need several or one per job.
 * The layout is BullMQ's (pinned in package.json); a contract test holds each script against what BullMQ itself writes.
 */

import { Script } from "../../runtime/redis-script.ts";
import { delayedScoreFactor, heldEpochMs, heldFromMs } from "./keys.ts";

const wakeWorkers = `
local function wakeForDelayed(base)
  local first = redis.call("ZRANGE", base .. "delayed", 0, 0, "WITHSCORES")
  if first[2] then redis.call("ZADD", base .. "marker", first[2] / ${delayedScoreFactor}, "1") end
end
local function wakeForWaiting(base)
  if redis.call("HEXISTS", base .. "meta", "paused") == 0 then redis.call("ZADD", base .. "marker", 0, "0") end
end
`;

/** Takes an active job out of its worker's hands; nil when the worker may do that, else what to return. */
const letGoOfJobs = `
local function letGo(base, id, token)
  local lock = redis.call("GET", base .. id .. ":lock")
  if lock ~= token then return lock and -6 or -2 end
  if redis.call("EXISTS", base .. id) == 0 then return -1 end
  if redis.call("LREM", base .. "active", -1, id) == 0 then return -3 end
  redis.call("DEL", base .. id .. ":lock")
  redis.call("SREM", base .. "stalled", id)
end
`;

/**
 * Adds jobs that exist in neither of two queues. BullMQ's addBulk runs one script per job; this runs one for all.
 * No priority is stored: none is the same as 0 to BullMQ, and each field of a hash costs some 80 octets a job.
 * A job that exists and is being worked on is told that there is more to do (see finishJob), if asked to.
 * KEYS: base of the queue, base of the other queue where the same job may be.
 * ARGV: now, delay (ms), name, opts (JSON), tell (1|0), then id and data (JSON) of each.
 * Returns how many were added.
 */
export const addJobs = new Script(`${wakeWorkers}
local base, other = KEYS[1], KEYS[2]
local now, delay = tonumber(ARGV[1]), tonumber(ARGV[2])
local added = 0
for i = 6, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call("EXISTS", base .. id, other .. id) == 0 then
    redis.call("HSET", base .. id, "name", ARGV[3], "data", ARGV[i + 1], "opts", ARGV[4],
      "timestamp", ARGV[1], "delay", ARGV[2])
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
`);

/**
 * Ends the work on an active job for now: it becomes due later, here or in the other queue, with new data if given.
 * One step, so that a job is never in two queues, nor delayed with old data. What only matters while it is active goes,
 * for a deferred job may stay for days.
 * KEYS: base of its queue, base of the queue where it goes (may be the same).
 * ARGV: id, lock token, due (ms), data (JSON) or "", failures to count in `atm` ("" leaves them), now.
 * Returns 0; -1 the job is gone; -2 the lock is gone; -6 another has the lock; -3 it is not active.
 */
export const rescheduleJob = new Script(`${wakeWorkers}${letGoOfJobs}
local from, to, id = KEYS[1], KEYS[2], ARGV[1]
local job = from .. id
local refusal = letGo(from, id, ARGV[2])
if refusal then return refusal end
if from ~= to then
  if redis.call("EXISTS", to .. id) == 1 then
    redis.call("DEL", job)
    return 0
  end
  redis.call("RENAME", job, to .. id)
  job = to .. id
end
if ARGV[4] ~= "" then redis.call("HSET", job, "data", ARGV[4]) end
if ARGV[5] == "0" then
  redis.call("HDEL", job, "atm", "processedOn", "stc")
else
  redis.call("HDEL", job, "processedOn", "stc")
  if ARGV[5] ~= "" then redis.call("HSET", job, "atm", ARGV[5]) end
end
redis.call("HSET", job, "delay", math.max(0, tonumber(ARGV[3]) - tonumber(ARGV[6])))
redis.call("ZADD", to .. "delayed", tonumber(ARGV[3]) * ${delayedScoreFactor}, id)
wakeForDelayed(to)
return 0
`);

/**
 * Ends an active job for good, unless there is more to do for it since its work began: then it is due once more.
 * KEYS: base of its queue. ARGV: id, lock token, due (ms) if there is more.
 * Returns 0 ended, 1 due once more; negative as rescheduleJob.
 */
export const finishJob = new Script(`${wakeWorkers}${letGoOfJobs}
local base, id = KEYS[1], ARGV[1]
local job = base .. id
local refusal = letGo(base, id, ARGV[2])
if refusal then return refusal end
if redis.call("HDEL", job, "more") == 1 then
  redis.call("ZADD", base .. "delayed", tonumber(ARGV[3]) * ${delayedScoreFactor}, id)
  wakeForDelayed(base)
  return 1
end
redis.call("DEL", job)
return 0
`);

/**
 * Takes the locks of jobs that a worker still has in hand again, where nobody else took the job meanwhile:
 * after an outage of Redis longer than a lock lasts. Where Redis was emptied, it also puts the job itself back as
 * active, so that the keeper does not see it missing and nobody delivers the mail a second time.
 * KEYS: base of the queue, base of the other queue, epoch.
 * ARGV: lock duration (ms), the epoch under which the jobs were taken, now, name, opts (JSON),
 *       then id, token and data (JSON) of each.
 * Returns the ids that are lost: end the work on them.
 */
export const reclaimJobs = new Script(`
local base, other = KEYS[1], KEYS[2]
local emptied = redis.call("GET", KEYS[3]) ~= ARGV[2]
local lost = {}
for i = 6, #ARGV, 3 do
  local id, token = ARGV[i], ARGV[i + 1]
  local job = base .. id
  local lock = redis.call("GET", job .. ":lock")
  local ours = lock == token
  if not lock then
    if redis.call("EXISTS", job) == 1 then
      if redis.call("LPOS", base .. "active", id) then
        ours = true
      elseif redis.call("LREM", base .. "wait", -1, id) == 1 or redis.call("ZREM", base .. "delayed", id) == 1 then
        redis.call("LPUSH", base .. "active", id)
        ours = true
      end
    elseif emptied and redis.call("EXISTS", other .. id) == 0 then
      redis.call("HSET", job, "name", ARGV[4], "data", ARGV[i + 2], "opts", ARGV[5],
        "timestamp", ARGV[3], "delay", "0", "ats", "1")
      redis.call("LPUSH", base .. "active", id)
      ours = true
    end
  end
  if ours then
    redis.call("SET", job .. ":lock", token, "PX", ARGV[1])
    redis.call("SREM", base .. "stalled", id)
  else
    lost[#lost + 1] = id
  end
end
return lost
`);

/**
 * Makes delayed jobs due at another time, held ones included. Lists are searched from the head, from where
 * operations on many jobs go through them: what they look for is near. A job that is held twice is held since the
 * first time; one that is let go has how long that was added to its payload, as `heldMs`. The payload is not decoded
 * for it (cjson makes objects of empty arrays); inside its strings quotes are escaped, so that no sender can write one.
 * KEYS: base of the queue. ARGV: due (ms), 1: also those that wait for a worker, then ids.
 * Returns how many it moved.
 */
export const moveDue = new Script(`${wakeWorkers}
local base, moved = KEYS[1], 0
local due = tonumber(ARGV[1])
local score = due * ${delayedScoreFactor}
local function countHeld(job, sinceMs)
  local data = redis.call("HGET", job, "data")
  if not data or string.sub(data, -1) ~= "}" then return end
  local before = string.match(data, ',"heldMs":(%d+)') or "0"
  data = string.gsub(data, ',"heldMs":%d+', "", 1)
  local heldMs = math.max(0, due - sinceMs) + tonumber(before)
  redis.call("HSET", job, "data", string.sub(data, 1, -2) .. string.format(',"heldMs":%.0f}', heldMs))
end
for i = 3, #ARGV do
  local id = ARGV[i]
  local old = redis.call("ZSCORE", base .. "delayed", id)
  if old then
    local parked = tonumber(old) / ${delayedScoreFactor} - ${heldFromMs}
    if parked < 0 then
      redis.call("ZADD", base .. "delayed", score, id)
    elseif due < ${heldFromMs} then
      redis.call("ZADD", base .. "delayed", score, id)
      countHeld(base .. id, ${heldEpochMs} + parked * 1000)
    end
    moved = moved + 1
  elseif ARGV[2] == "1" and redis.call("LREM", base .. "wait", 1, id) == 1 then
    redis.call("ZADD", base .. "delayed", score, id)
    moved = moved + 1
  end
end
if moved > 0 then wakeForDelayed(base) end
return moved
`);

/**
 * Removes jobs that nobody works on. KEYS: base of the queue. ARGV: ids. Returns how many it removed.
 */
export const removeJobs = new Script(`
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
`);

/**
 * The jobs of a message. KEYS: bases of queues. ARGV: message id, how many parts to look for.
 * Returns for each queue the numbers of the parts that it has.
 */
export const findGroups = new Script(`
local found = {}
for q = 1, #KEYS do
  found[q] = {}
  for part = 0, tonumber(ARGV[2]) - 1 do
    if redis.call("EXISTS", KEYS[q] .. ARGV[1] .. "-" .. part) == 1 then table.insert(found[q], part) end
  end
end
return found
`);

/** Sets a key's expiry if it still has our value; with 0, deletes it. KEYS: the key. ARGV: value, ms. Returns 1 or 0. */
export const keepLease = new Script(`
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == "0" then return redis.call("DEL", KEYS[1]) end
return redis.call("PEXPIRE", KEYS[1], ARGV[2])
`);

/**
 * Nothing may fail for BullMQ; what did all the same (a dashboard, an older release) waits again.
 * KEYS: base of the queue. Returns how many.
 */
export const requeueFailed = new Script(`${wakeWorkers}
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
`);
