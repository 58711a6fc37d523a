/** Reads events from the stream: by word, the latest, and those after a place. The connection is its caller's. */
import { queuePrefix, type RedisConnection } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";
import { decodeEvent, type StreamEvent } from "../event.ts";
import { decodeNumber, fingerprint } from "../fingerprint.ts";
import { compareIds, type EventKeys, eventKeys, idAt, recordLength, shards } from "./keys.ts";
import { lastIdOf, linesField, packEvents, type StreamEntry, singleField, unpacked } from "./packing.ts";

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

/** Events that one script picks. */
const page = 500;
/** Entries that one command reads. */
const maxEntries = 128;
/** Entries of the index that one script looks at: it keeps Redis for about a millisecond. */
const searchPage = 1_000;

/** @param prefix  as the publisher's */
export function createEventReader(redis: RedisConnection, prefix: string = queuePrefix): EventReader {
  const keys = eventKeys(prefix);
  const forward = {
    read: (from: string, count: number) => redis.xrange(keys.stream, from, "+", "COUNT", count),
    unpack: unpacked,
  };
  const backward = {
    read: (from: string, count: number) => redis.xrevrange(keys.stream, from, "-", "COUNT", count),
    unpack: (entry: StreamEntry) => unpacked(entry).reverse(),
  };
  return {
    async find(word, limit) {
      const ids = await findIds(redis, keys, word, limit);
      const found: StreamEvent[] = [];
      for (let start = 0; start < ids.length; start += page) {
        const chosen = ids.slice(start, start + page);
        const texts = (await pick.run(redis, [keys.stream], chosen)) as string[];
        for (const [index, eventId] of chosen.entries()) {
          const event = decodeEvent(texts[index] ?? "");
          if (event !== undefined) found.push({ eventId, ...event });
        }
      }
      return found;
    },
    async after(eventId, limit) {
      if (eventId === "0") return collect(forward, "-", limit);
      // The entry that has this event may have later ones.
      const [entry] = await backward.read(eventId, 1);
      return collect(forward, entry?.[0] ?? "-", limit, (other) => compareIds(other, eventId) > 0);
    },
    async before(eventId, limit) {
      if (eventId === undefined) return collect(backward, "+", limit);
      return collect(backward, `(${eventId}`, limit, (other) => compareIds(other, eventId) < 0);
    },
    async lastId() {
      const [last] = await backward.read("+", 1);
      return last === undefined ? "0-0" : lastIdOf(last);
    },
  };
}

/** Entries from a place on, which belongs to them unless it begins with `(`. */
type ReadEntries = (from: string, count: number) => Promise<StreamEntry[]>;

/** The events from a place on, in the order of the entries and of the events in them. @param isWanted  by the id of an event */
async function collect(
  { read, unpack }: { read: ReadEntries; unpack(entry: StreamEntry): StreamEvent[] },
  start: string,
  limit: number,
  isWanted: (eventId: string) => boolean = () => true,
): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  let count = Math.min(Math.ceil(limit / packEvents) + 1, maxEntries);
  for (let from = start; ; ) {
    const entries = await read(from, count);
    for (const entry of entries)
      for (const event of unpack(entry)) if (isWanted(event.eventId)) events.push(event);
    if (events.length >= limit || entries.length < count) return events.slice(0, limit);
    from = `(${entries.at(-1)?.[0]}`;
    // A quiet gateway has entries of a single event.
    count = Math.min(count * 2, maxEntries);
  }
}

export function isEventId(text: string): boolean {
  return /^\d{1,16}-\d{1,10}$/.test(text);
}

/** Picks events out of their entries. @returns the JSON of each, "" for one that is gone */
const pick = new Script(`
local texts = {}
for k, id in ipairs(ARGV) do
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local found = redis.call('XREVRANGE', KEYS[1], id, '-', 'COUNT', 1)[1]
  local text = ''
  if found then
    local foundMs, foundSeq = string.match(found[1], '^(%d+)-(%d+)$')
    local place = seq - foundSeq
    local fields = found[2]
    local lines
    for f = 1, #fields, 2 do
      if fields[f] == '${linesField}' or fields[f] == '${singleField}' and place == 0 then lines = fields[f + 1] end
    end
    if foundMs == ms and lines then
      local start = 1
      while place > 0 and start do
        local stop = string.find(lines, '\\n', start, true)
        start = stop and stop + 1
        place = place - 1
      end
      if start then text = string.sub(lines, start, (string.find(lines, '\\n', start, true) or 0) - 1) end
    end
  end
  texts[k] = text
end
return texts
`);

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
