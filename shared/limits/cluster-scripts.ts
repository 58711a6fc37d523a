/**
 * The Redis keys of the cluster-wide limits, and the Lua scripts that work on them, each in one step. Redis' own clock
 * counts: it is the one that all processes share. What a process leases of a destination is a field of a hash that says
 * until when it holds, so that a process that died keeps nothing.
 */
import { queuePrefix } from "../runtime/redis.ts";
import { Script } from "../runtime/redis-script.ts";
import { growEveryMs } from "./learnt-limit.ts";

/** A hash of leases: how many connections to a destination, or from a client, each process has, and until when. */
export function leasesKey(destination: string): string {
  return `${queuePrefix}:slots:${destination}`;
}

/** Two numbers: how many connections a server bears, as its refusals say, and when it was learnt. */
export function learntLimitKey(destination: string): string {
  return `${queuePrefix}:bears:${destination}`;
}

/** A number: when a rate would be used up evenly. */
export function rateKey(name: string): string {
  return `${queuePrefix}:rate:${name}`;
}

/** A number: up to when the retry slots of a queue have been given away. */
export function retrySlotsKey(retryQueue: string): string {
  return `${queuePrefix}:turn:${retryQueue}`;
}

/** A hash: no host answered; since when, how they failed, and until when no process tries again. */
export function deadDestinationKey(reachabilityKey: string): string {
  return `${queuePrefix}:silence:${reachabilityKey}`;
}

/** A time: dead destinations that were marked before it count no longer. */
export const deadBeforeVoidKey = `${queuePrefix}:silence`;

/**
 * A sorted set of what deadDestinationMember() names, by when the entry is forgotten. Operators read it; an entry that is
 * not there any more may be in it.
 */
export const deadDestinationsKey = `${queuePrefix}:dead-destinations`;

/** The name of a destination has no tabulator. */
export function deadDestinationMember(destination: string, reachabilityKey: string): string {
  return `${destination}\t${reachabilityKey}`;
}

/** In that set; those that end first are left out. */
const maxDeadDestinations = 10_000;

const clock = `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/**
 * A lease: connections, until when, when the process last heard an answer, ms that a message takes it (0: not known).
 * One with 0 connections is a request that got none: processes with more than a fair share make room for it.
 */
const lease = `
local function readLease(text)
  local count, ends, answered, busy = string.match(text, "^(%d+) (%d+) (%d+) (%d+)")
  return tonumber(count), tonumber(ends), tonumber(answered), tonumber(busy)
end
local function writeLease(key, worker, count, ends, ago, busy)
  local answered = ago == "-1" and 0 or now - tonumber(ago)
  redis.call("HSET", key, worker, string.format("%d %d %d %d", count, ends, answered, busy))
end
`;

/** How many connections a server bears, as learntLimit() in shared/limits/learnt-limit.ts decides it. */
const learnt = `
local function learntLimit(key, limit)
  local connections, at = string.match(redis.call("GET", key) or "", "^(%d+) (%d+)")
  if not connections then return limit end
  local grown = math.floor(math.max(0, now - tonumber(at)) / ${growEveryMs})
  return math.min(limit, tonumber(connections) + grown)
end
`;

/** How long a request counts that got no connection (ms). */
const requestMs = 3000;

/**
 * One connection more. KEYS: leases of the destination, how many it bears; and where dead destinations are remembered: this
 * one's entry, and since when older entries are void.
 * ARGV: worker, the limit of connections, lease (ms), 1: ignore the dead-destination cache, ms since the worker heard an
 * answer or -1, ms that a message takes or 0, connections in use from which on it gets none.
 * A lease, or a time to leave a dead destination alone, that ends later than one could that begins now is from before
 * Redis' clock was set back: it is cut.
 * No worker gets more than a fair share while others have or want some: it would have to make room again at once.
 * Returns {1, fair share, 1: it is a probe} given; {0, fair share, ms that a message takes} full; {2, diagnosis} dead.
 */
export const takeSlotScript = new Script(`${clock}${lease}${learnt}
local probe = 0
if #KEYS > 2 then
  local dead = redis.call("HMGET", KEYS[3], "until", "marked", "interval", "diagnosis")
  if dead[1] then
    local void = redis.call("GET", KEYS[4])
    if not void or tonumber(dead[2]) > tonumber(void) then
      local leftMs = tonumber(dead[1]) - now
      if leftMs > 0 and leftMs <= tonumber(dead[3]) and ARGV[4] == "0" then return {2, dead[4]} end
      probe = tonumber(dead[3])
    end
  end
end
local mine, all, workers, slowest = 0, 0, 1, 0
local leases = redis.call("HGETALL", KEYS[1])
for i = 1, #leases, 2 do
  local count, ends, answered, busy = readLease(leases[i + 1])
  if ends < now then
    redis.call("HDEL", KEYS[1], leases[i])
  else
    if ends > now + ARGV[3] then
      local cut = string.format("%d %d %d %d", count, now + ARGV[3], math.min(answered, now), busy)
      redis.call("HSET", KEYS[1], leases[i], cut)
    end
    all = all + count
    slowest = math.max(slowest, busy)
    if leases[i] == ARGV[1] then mine = count else workers = workers + 1 end
  end
end
local limit, share = tonumber(ARGV[2]), tonumber(ARGV[7])
local bearable = learntLimit(KEYS[2], limit)
if bearable < limit then share = math.ceil(bearable * share / limit) end
local fair = math.ceil(bearable / workers)
if all >= share or (workers > 1 and mine >= fair) then
  if mine == 0 then
    writeLease(KEYS[1], ARGV[1], 0, now + ${requestMs}, "-1", 0)
    redis.call("PEXPIRE", KEYS[1], 2 * ARGV[3])
  end
  return {0, fair, slowest}
end
writeLease(KEYS[1], ARGV[1], mine + 1, now + ARGV[3], ARGV[5], ARGV[6])
redis.call("PEXPIRE", KEYS[1], 2 * ARGV[3])
if probe > 0 then redis.call("HSET", KEYS[3], "until", now + probe) end
return {1, fair, probe > 0 and 1 or 0}
`);

/**
 * A server has refused a connection, as shrink() in shared/limits/learnt-limit.ts decides it. KEYS: leases of the
 * destination, how many it bears. ARGV: the limit of connections.
 * Returns 1 when it gets fewer now; 0: it has no other connection, and nothing has changed.
 */
export const shrinkScript = new Script(`${clock}${lease}${learnt}
local all = 0
for _, lease in ipairs(redis.call("HVALS", KEYS[1])) do
  local count, ends = readLease(lease)
  if ends >= now then all = all + count end
end
if all <= 1 then return 0 end
local limit = tonumber(ARGV[1])
local connections = math.max(1, math.min(learntLimit(KEYS[2], limit), all) - 1)
local forMs = math.max(1, limit - connections) * ${growEveryMs}
redis.call("SET", KEYS[2], string.format("%d %d", connections, now), "PX", forMs)
return 1
`);

/**
 * Renews a worker's leases with what it has now. KEYS: leases of destinations.
 * ARGV: worker, lease (ms), then for each key: connections (0: none; -1: as many as it is on record with),
 * ms since the worker heard an answer or -1, ms that a message takes or 0.
 * Returns for each key how many workers have or want connections.
 */
export const renewLeasesScript = new Script(`${clock}${lease}
local workers = {}
for i, key in ipairs(KEYS) do
  local count = tonumber(ARGV[3 * i])
  if count < 0 then
    local lease = redis.call("HGET", key, ARGV[1])
    count = lease and readLease(lease) or 0
  end
  if count == 0 then
    redis.call("HDEL", key, ARGV[1])
  else
    writeLease(key, ARGV[1], count, now + ARGV[2], ARGV[3 * i + 1], ARGV[3 * i + 2])
    redis.call("PEXPIRE", key, 2 * ARGV[2])
  end
  workers[i] = 0
  for _, lease in ipairs(redis.call("HVALS", key)) do
    local _, ends = readLease(lease)
    if ends >= now then workers[i] = workers[i] + 1 end
  end
end
return workers
`);

/**
 * No host answered. KEYS: the entry of the dead destination, leases of the destination, since when older entries are void,
 * the set of dead destinations. ARGV: ms since the attempt began, first interval, longest interval (ms), diagnosis (JSON),
 * the member of the set.
 * Nothing is remembered when any worker had an answer since then. Attempts that were under way together are one probe.
 * Returns the interval, 0 when nothing is remembered.
 */
export const markDeadScript = new Script(`${clock}${lease}
local started = now - ARGV[1]
for _, lease in ipairs(redis.call("HVALS", KEYS[2])) do
  local _, _, answered = readLease(lease)
  if answered >= started then return 0 end
end
local before = redis.call("HMGET", KEYS[1], "marked", "interval", "since")
local void = redis.call("GET", KEYS[3])
local interval, since = tonumber(ARGV[2]), started
if before[1] and (not void or tonumber(before[1]) > tonumber(void)) then
  if tonumber(before[1]) >= started then interval = tonumber(before[2])
  else interval = math.max(interval, math.min(tonumber(ARGV[3]), 2 * before[2])) end
  since = math.min(tonumber(before[3] or before[1]), now)
end
redis.call("HSET", KEYS[1], "until", now + interval, "marked", now, "interval", interval, "since",
  string.format("%d", since), "diagnosis", ARGV[4])
local keptMs = math.ceil(2 * interval + tonumber(ARGV[3]))
redis.call("PEXPIRE", KEYS[1], keptMs)
redis.call("ZADD", KEYS[4], now + keptMs, ARGV[5])
redis.call("ZREMRANGEBYSCORE", KEYS[4], "-inf", now)
redis.call("ZREMRANGEBYRANK", KEYS[4], 0, -${maxDeadDestinations + 1})
return interval
`);

/** Voids all entries of dead destinations that there are. KEYS: since when. ARGV: how long to keep that time (ms). */
export const voidDeadScript = new Script(`${clock}
return redis.call("SET", KEYS[1], now, "PX", ARGV[1])
`);

/**
 * Messages of a rate, in advance (generic cell rate algorithm: \`ahead / share\` at once, then one in each share).
 * KEYS: the rate's theoretical time. ARGV: share, ahead (ms), how many (negative: given back). A theoretical time that is
 * farther away than that is from before Redis' clock was set back, or from before the configuration changed.
 * Returns {given, ms to wait for the next when fewer than asked for were given}.
 */
export const reserveRateScript = new Script(`${clock}
local share, ahead, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at = math.min(math.max(tonumber(redis.call("GET", KEYS[1]) or 0), now), now + ahead)
local given = math.min(want, math.floor((ahead - (at - now)) / share + 0.000001))
if want > 0 and given < 0 then given = 0 end
at = at + given * share
if at > now then redis.call("SET", KEYS[1], string.format("%.3f", at), "PX", math.ceil(at - now))
else redis.call("DEL", KEYS[1]) end
return {given, given < want and math.max(1, math.ceil(at + share - now - ahead)) or 0}
`);

/**
 * The next retry slot of a queue, as nextRetrySlot() in shared/limits/retry-slots.ts decides it.
 * KEYS: up to when slots have been given away, and when the last was. One that was given later than now is from before Redis'
 * clock was set back. ARGV: each, earliest, horizon (ms), random (0..1).
 * Returns ms from now.
 */
export const takeRetrySlotScript = new Script(`${clock}
local each, earliest, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local ends, given = string.match(redis.call("GET", KEYS[1]) or "0", "^(%S+) ?(%S*)$")
local promised = tonumber(ends) - math.max(now, tonumber(given) or 0)
local slot = math.max(promised, earliest) + each
if slot > math.max(horizon, earliest + each) then return math.ceil(horizon * (1 + ARGV[4] / 2)) end
redis.call("SET", KEYS[1], string.format("%.3f %d", now + slot, now), "PX", math.ceil(slot))
return math.ceil(slot)
`);
