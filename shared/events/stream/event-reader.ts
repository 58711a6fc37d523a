/** Reads events from the stream: by word, the latest, and those after a place. The connection is its caller's. */
import { queuePrefix, type RedisConnection } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";
import { decodeEvent, type StreamEvent } from "../event.ts";
import { decodeNumber, fingerprint } from "../fingerprint.ts";
import { type EventKeys, eventField, eventKeys, idAt, recordLength, shards } from "./keys.ts";

export interface EventReader {
  /**
   * The latest events that the word finds, oldest first. Others may be among them, rarely: the caller looks at each.
   * @param limit  how many at most
   */
  find(word: string, limit: number): Promise<StreamEvent[]>;
  /** Those after this place, oldest first. @param eventId  `0` for all */
  after(eventId: string, limit: number): Promise<StreamEvent[]>;
  /** Those before this place, latest first. @param eventId  absent: the latest */
  before(eventId: string | undefined, limit: number): Promise<StreamEvent[]>;
  /** The place of the latest event; `0-0` when there is none. */
  lastId(): Promise<string>;
}

/** Events that one pipeline reads. */
const page = 500;
/** Entries of the index that one script looks at: it keeps Redis for about a millisecond. */
const searchPage = 1_000;

/** @param prefix  as the publisher's */
export function createEventReader(redis: RedisConnection, prefix: string = queuePrefix): EventReader {
  const keys = eventKeys(prefix);
  return {
    async find(word, limit) {
      const ids = await findIds(redis, keys, word, limit);
      const found: StreamEvent[] = [];
      for (let start = 0; start < ids.length; start += page) {
        const pipeline = redis.pipeline();
        for (const id of ids.slice(start, start + page)) pipeline.xrange(keys.stream, id, id);
        for (const [error, entries] of (await pipeline.exec()) ?? []) {
          if (error) throw error;
          found.push(...toEvents(entries as StreamEntry[]));
        }
      }
      return found;
    },
    after: async (eventId, limit) =>
      toEvents(await redis.xrange(keys.stream, eventId === "0" ? "-" : `(${eventId}`, "+", "COUNT", limit)),
    before: async (eventId, limit) =>
      toEvents(
        await redis.xrevrange(keys.stream, eventId === undefined ? "+" : `(${eventId}`, "-", "COUNT", limit),
      ),
    async lastId() {
      const [last] = await redis.xrevrange(keys.stream, "+", "-", "COUNT", 1);
      return last?.[0] ?? "0-0";
    },
  };
}

export function isEventId(text: string): boolean {
  return /^\d{1,16}-\d{1,10}$/.test(text);
}

type StreamEntry = [id: string, fields: string[]];

/** Looks for a fingerprint in one page of a shard, from its end. @returns where the next page ends, then pairs of a batch's first id and a place */
const search = new Script(`
local entries = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])
local found = {entries[#entries] and #entries == tonumber(ARGV[2]) and entries[#entries][1] or ''}
for _, entry in ipairs(entries) do
  local records = entry[2][2]
  local places = {}
  local at = string.find(records, ARGV[3], 1, true)
  while at do
    if at % ${recordLength} == 1 then places[#places + 1] = string.sub(records, at + 8, at + 9) end
    at = string.find(records, ARGV[3], at + 1, true)
  end
  for k = #places, 1, -1 do
    found[#found + 1] = entry[1]
    found[#found + 1] = places[k]
  end
end
return found
`);

/** The index is read from its end, since the latest are wanted. @returns ids, oldest first */
async function findIds(
  redis: RedisConnection,
  keys: EventKeys,
  word: string,
  limit: number,
): Promise<string[]> {
  const { shard, text } = fingerprint(word, shards);
  const ids = new Set<string>();
  for (let end = "+"; end !== "(" && ids.size < limit; ) {
    const [next = "", ...found] = (await search.run(
      redis,
      [keys.words(shard)],
      [end, searchPage, text],
    )) as string[];
    for (let index = 0; index < found.length; index += 2)
      ids.add(idAt(found[index] ?? "", decodeNumber(found[index + 1] ?? "")));
    end = `(${next}`;
  }
  return [...ids].slice(0, limit).reverse();
}

/** Leaves out what a later version wrote. */
function toEvents(entries: readonly StreamEntry[]): StreamEvent[] {
  return entries.flatMap(([eventId, fields]) => {
    const event = decodeEvent(fieldOf(fields, eventField));
    return event === undefined ? [] : [{ eventId, ...event }];
  });
}

function fieldOf(fields: readonly string[], name: string): string {
  for (let index = 0; index < fields.length; index += 2)
    if (fields[index] === name) return fields[index + 1] ?? "";
  return "";
}
