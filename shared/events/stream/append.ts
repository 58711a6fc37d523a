/** Appends a batch of events with one script, which also removes what is too old or too much. */
import type { RedisConnection } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";
import type { EventBatch } from "./event-batch.ts";
import { type EventKeys, shards, wordsField } from "./keys.ts";
import { countField, linesField, type StreamEntry, totalAt, totalField } from "./packing.ts";

/**
 * ARGV: how many events are kept, and for how long; how many entries; of each, its events and their lines; the records of
 * each shard in KEYS; how many of these shards get a new expiry.
 * The ids of a batch follow one another: the first is Redis' choice, so that clocks of several hosts do not matter. The
 * last entry has the ids of all its events: a batch in the same millisecond begins after them.
 * So many entries go that those that are left have `max` events, or up to an entry more. Entries of earlier versions, which
 * do not say how many there were, make room one for each event that comes.
 * The index keeps what the stream has, and at least this batch. An index that is ahead of the stream (which was deleted, or
 * Redis' clock was set back) is made anew.
 */
const append = new Script(`
local stream = KEYS[1]
local max, keep, packs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function field(entry, name)
  local fields = entry[2]
  for k = 1, #fields, 2 do
    if fields[k] == name then return fields[k + 1] end
  end
  return nil
end

local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
local before = last and tonumber(field(last, '${totalField}') or redis.call('XLEN', stream)) or 0
local total = before
local function add(id, pack)
  local count, lines = ARGV[2 + 2 * pack], ARGV[3 + 2 * pack]
  total = total + count
  return redis.call('XADD', stream, id, '${totalField}', total, '${countField}', count, '${linesField}', lines)
end
local first = add('*', 1)
local ms, seq = string.match(first, '^(%d+)-(%d+)$')
local lastMs, lastSeq = string.match(last and last[1] or '', '^(%d+)-(%d+)$')
local free = last and lastSeq + (field(last, '${countField}') or 1)
if ms == lastMs and tonumber(seq) < free then
  redis.call('XDEL', stream, first)
  total, seq, first = before, free, ms .. '-' .. free
  add(first, 1)
end
local place = seq
for pack = 2, packs do
  place = place + ARGV[2 * pack]
  add(ms .. '-' .. place, pack)
end

redis.call('XTRIM', stream, 'MINID', string.format('%.0f', tonumber(ms) - keep))
local room, head = math.min(total - before, total - max), nil
repeat
  local page = redis.call('XRANGE', stream, '-', '+', 'COUNT', 16)
  local kept
  for k, entry in ipairs(page) do
    local at = tonumber(field(entry, '${totalField}'))
    if at == nil and room > 0 then
      if k < #page then room = room - 1 end
    elseif at == nil or total - at < max then
      kept = entry
      break
    end
  end
  head = kept or page[#page]
  if head[1] ~= page[1][1] then redis.call('XTRIM', stream, 'MINID', head[1]) end
until kept or #page < 2
redis.call('PEXPIRE', stream, keep)

local floor = (tonumber(field(head, '${totalField}')) or 0) > before and first or head[1]
local words = 3 + 2 * packs
for k = 2, #KEYS do
  local added = redis.pcall('XADD', KEYS[k], 'MINID', floor, first, '${wordsField}', ARGV[words + k - 1])
  if type(added) == 'table' and added.err then
    redis.call('DEL', KEYS[k])
    redis.call('XADD', KEYS[k], first, '${wordsField}', ARGV[words + k - 1])
  end
end
for k = 1, tonumber(ARGV[#ARGV]) do redis.call('PEXPIRE', KEYS[k + 1], math.floor(keep * 1.1)) end
return first
`);

export interface Retention {
  /** How long events are kept, in milliseconds. */
  keepMs: number;
  /** How many are kept; a few more may be, since those of one entry go together. */
  max: number;
}

/**
 * When this process last set the expiry of each shard of the index, epoch milliseconds. Setting it with each batch would
 * cost as much as the index itself; a tenth of the retention is added to it, and it is set again by the time that is over.
 */
export type ShardExpiries = Float64Array;

export function newShardExpiries(): ShardExpiries {
  return new Float64Array(shards);
}

/**
 * @param batch  of at least one event
 * @throws Error of Redis, or of the connection; the events may have been appended all the same
 */
export async function appendEvents(
  redis: RedisConnection,
  keys: EventKeys,
  batch: EventBatch,
  { keepMs, max }: Retention,
  expiries: ShardExpiries,
): Promise<void> {
  const [packs, index] = [batch.packs(), batch.index()];
  const nowMs = Date.now();
  const isExpiryDue = (shard: number): boolean => nowMs >= (expiries[shard] ?? 0) + keepMs / 10;
  const due = [...index.keys()].filter(isExpiryDue);
  const others = [...index.keys()].filter((shard) => !isExpiryDue(shard));
  const order = [...due, ...others];
  await append.run(
    redis,
    [keys.stream, ...order.map((shard) => keys.words(shard))],
    [
      max,
      keepMs,
      packs.length,
      ...packs.flatMap(({ count, lines }) => [count, lines]),
      ...order.map((shard) => index.get(shard) ?? ""),
      due.length,
    ],
  );
  for (const shard of due) expiries[shard] = nowMs;
}

/** Removes the older half of the entries. @returns how many events it removed, about */
export async function dropOlderHalf(redis: RedisConnection, keys: EventKeys): Promise<number> {
  const [length, before] = [await redis.xlen(keys.stream), await headTotal(redis, keys)];
  const removed = await redis.xtrim(keys.stream, "MAXLEN", Math.floor(length / 2));
  const after = await headTotal(redis, keys);
  return before === undefined || after === undefined ? removed : after - before;
}

async function headTotal(redis: RedisConnection, { stream }: EventKeys): Promise<number | undefined> {
  const [head] = (await redis.xrange(stream, "-", "+", "COUNT", 1)) as StreamEntry[];
  return head && totalAt(head);
}
