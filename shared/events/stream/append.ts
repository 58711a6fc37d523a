/** Appends a batch of events with one script, which also removes what is too old or too much. */
import type { RedisConnection } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";
import { encodeNumber, fingerprint } from "../fingerprint.ts";
import { type EventKeys, eventField, shards, wordsField } from "./keys.ts";

/**
 * The ids of a batch follow one another: the first is Redis' choice, so that clocks of several hosts do not matter. The
 * index keeps what the stream has, and at least this batch.
 * An index that is ahead of the stream (which was deleted, or Redis' clock was set back) is made anew.
 */
const append = new Script(`
local stream = KEYS[1]
local max, keep, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local first = redis.call('XADD', stream, '*', '${eventField}', ARGV[4])
local ms, seq = string.match(first, '^(%d+)-(%d+)$')
local before = ms .. '-'
seq = tonumber(seq)
for place = 1, count - 1 do
  redis.call('XADD', stream, before .. (seq + place), '${eventField}', ARGV[4 + place])
end
redis.call('XTRIM', stream, 'MAXLEN', max)
redis.call('XTRIM', stream, 'MINID', string.format('%.0f', tonumber(ms) - keep))
redis.call('PEXPIRE', stream, keep)
local head = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
local floor = max < count and first or head[1][1]
for k = 2, #KEYS do
  local words = ARGV[3 + count + k - 1]
  local added = redis.pcall('XADD', KEYS[k], 'MINID', floor, first, '${wordsField}', words)
  if type(added) == 'table' and added.err then
    redis.call('DEL', KEYS[k])
    redis.call('XADD', KEYS[k], first, '${wordsField}', words)
  end
end
for k = 1, tonumber(ARGV[#ARGV]) do redis.call('PEXPIRE', KEYS[k + 1], math.floor(keep * 1.1)) end
return first
`);

/** An event that is to be appended. */
export interface Entry {
  /** Its JSON. */
  text: string;
  words: readonly string[];
}

export interface Retention {
  /** How long events are kept, in milliseconds. */
  keepMs: number;
  /** How many are kept. */
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
 * @param entries  1 to `maxBatch`
 * @throws Error of Redis, or of the connection; the events may have been appended all the same
 */
export async function appendEvents(
  redis: RedisConnection,
  keys: EventKeys,
  entries: readonly Entry[],
  { keepMs, max }: Retention,
  expiries: ShardExpiries,
): Promise<void> {
  const index = new Map<number, string>();
  for (let place = 0; place < entries.length; place++) {
    const suffix = encodeNumber(place, 2);
    for (const word of entries[place]?.words ?? []) {
      const { shard, text } = fingerprint(word, shards);
      index.set(shard, `${index.get(shard) ?? ""}${text}${suffix}`);
    }
  }
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
      entries.length,
      ...entries.map(({ text }) => text),
      ...order.map((shard) => index.get(shard) ?? ""),
      due.length,
    ],
  );
  for (const shard of due) expiries[shard] = nowMs;
}

/** Removes the older half of the events. @returns how many it removed */
export async function dropOlderHalf(redis: RedisConnection, keys: EventKeys): Promise<number> {
  const length = await redis.xlen(keys.stream);
  return redis.xtrim(keys.stream, "MAXLEN", Math.floor(length / 2));
}
