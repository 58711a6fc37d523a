/**
 * Lua scripts on active jobs, for the worker that has them. Each checks the job's lock, as BullMQ's own scripts do. They
 * run also when Redis is full: ending a job makes room.
 * The layout is that of BullMQ 6.7.0: docs/decisions/0006-bullmq-inside.md.
 */
import { Script } from "../../runtime/redis-script.ts";
import { delayedScoreFactor } from "./due-times.ts";
import { wakeWorkers } from "./scripts.ts";

/** Takes an active job from its worker: nil when it did, else the number to return. */
const releaseLock = `
local function releaseLock(base, id, token)
  local lock = redis.call("GET", base .. id .. ":lock")
  if lock ~= token then return lock and -6 or -2 end
  if redis.call("EXISTS", base .. id) == 0 then return -1 end
  if redis.call("LREM", base .. "active", -1, id) == 0 then return -3 end
  redis.call("DEL", base .. id .. ":lock")
  redis.call("SREM", base .. "stalled", id)
end
`;

/**
 * Makes an active job due later, here or in the other queue, with new data if given. One step, so that a job is never
 * in two queues, nor delayed with old data. Fields that only matter while it is active go, for it may wait for days.
 * KEYS: base of its queue, base of the queue where it goes (may be the same).
 * ARGV: id, lock token, due (ms), data (JSON) or "", failures to count in `atm` ("" leaves them), now.
 * Returns 0; -1 the job is gone; -2 the lock is gone; -6 another worker has the lock; -3 the job is not active.
 */
export const rescheduleScript = new Script(
  `${wakeWorkers}${releaseLock}
local from, to, id = KEYS[1], KEYS[2], ARGV[1]
local job = from .. id
local refusal = releaseLock(from, id, ARGV[2])
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
`,
  { whenFull: true },
);

/**
 * Ends an active job for good, unless it was flagged as having more to do since its worker took it: then it is due
 * once more. KEYS: base of its queue. ARGV: id, lock token, due (ms) if there is more.
 * Returns 0 ended, 1 due once more; negative as rescheduleScript.
 */
export const finishScript = new Script(
  `${wakeWorkers}${releaseLock}
local base, id = KEYS[1], ARGV[1]
local job = base .. id
local refusal = releaseLock(base, id, ARGV[2])
if refusal then return refusal end
if redis.call("HDEL", job, "more") == 1 then
  redis.call("ZADD", base .. "delayed", tonumber(ARGV[3]) * ${delayedScoreFactor}, id)
  wakeForDelayed(base)
  return 1
end
redis.call("DEL", job)
return 0
`,
  { whenFull: true },
);

/**
 * Renews locks. KEYS: base of the queue. ARGV: lock duration (ms), then id and token of each.
 * Returns the ids of the jobs whose lock is not the worker's.
 */
export const renewLocksScript = new Script(
  `
local base, lost = KEYS[1], {}
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call("GET", base .. id .. ":lock") == ARGV[i + 1] then
    redis.call("PEXPIRE", base .. id .. ":lock", ARGV[1])
    redis.call("SREM", base .. "stalled", id)
  else
    lost[#lost + 1] = id
  end
end
return lost
`,
  { whenFull: true },
);

/**
 * Redis ends keys by the time of day. A lock, or the key that says that dead workers were looked for a moment ago, which
 * lasts longer than any that begins now is from before Redis' clock was set back, and is cut: the jobs of a dead worker
 * would wait for as long as the clock was set back by. KEYS: base of the queue. ARGV: lock duration, time between two
 * looks (ms).
 */
export const cutLocksScript = new Script(
  `
local base = KEYS[1]
local function cut(key, most)
  if redis.call("PTTL", key) <= most then return false end
  redis.call("PEXPIRE", key, most)
  return true
end
if not cut(base .. "stalled-check", tonumber(ARGV[2])) then return end
for _, id in ipairs(redis.call("LRANGE", base .. "active", 0, -1)) do
  cut(base .. id .. ":lock", tonumber(ARGV[1]))
end
`,
  { whenFull: true },
);

/**
 * Takes the locks of a worker's active jobs again where no other worker took the job meanwhile: after an outage of
 * Redis longer than a lock lasts. Where Redis was emptied it also restores the job as active, so that the reconciler
 * does not find it missing and no other worker delivers the mail a second time. The same where another server, or an
 * earlier state of this one, has taken over: it may not know the job, or may have handed it out again; a worker that gets
 * a job in this way waits, and then finds the lock gone. A lock of a later start at the same worker stays: see JobRuns.
 * KEYS: base of the queue, base of the other queue, epoch.
 * ARGV: lock duration (ms), the epoch under which the jobs were taken, whether it was another server (1|0), now, name,
 *       opts (JSON), then id, token and data (JSON) of each. A token is the worker's id, ":" and a number.
 * Returns the ids of the jobs that are lost to this worker.
 */
export const reclaimScript = new Script(
  `
local base, other = KEYS[1], KEYS[2]
local otherServer = ARGV[3] == "1"
local forgetful = otherServer or redis.call("GET", KEYS[3]) ~= ARGV[2]
local function workerOf(token) return string.match(token, "^(.*):") end
local lost = {}
for i = 7, #ARGV, 3 do
  local id, token = ARGV[i], ARGV[i + 1]
  local job = base .. id
  local lock = redis.call("GET", job .. ":lock")
  local ours = lock == token or (lock and otherServer)
  local restartedHere = lock and lock ~= token and workerOf(lock) == workerOf(token)
  if not lock then
    if redis.call("EXISTS", job) == 1 then
      if redis.call("LPOS", base .. "active", id) then
        ours = true
      elseif redis.call("LREM", base .. "wait", -1, id) == 1 or redis.call("ZREM", base .. "delayed", id) == 1 then
        redis.call("LPUSH", base .. "active", id)
        ours = true
      end
    elseif forgetful and redis.call("EXISTS", other .. id) == 0 then
      redis.call("HSET", job, "name", ARGV[5], "data", ARGV[i + 2], "opts", ARGV[6],
        "timestamp", ARGV[4], "delay", "0", "ats", "1")
      redis.call("LPUSH", base .. "active", id)
      ours = true
    end
  end
  if restartedHere then
    redis.call("SREM", base .. "stalled", id)
  elseif ours then
    redis.call("SET", job .. ":lock", token, "PX", ARGV[1])
    redis.call("SREM", base .. "stalled", id)
  else
    lost[#lost + 1] = id
  end
end
return lost
`,
  { whenFull: true },
);
