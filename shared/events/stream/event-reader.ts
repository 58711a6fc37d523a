/** Reads events from the stream: by word, the latest, and those after a place. The connection is its caller's. */
import { queuePrefix, type RedisConnection } from "../../runtime/redis.ts";
import { decodeEvent, type StreamEvent } from "../event.ts";
import { decodeNumber, fingerprint } from "../fingerprint.ts";
import { type EventKeys, eventField, eventKeys, idAt, shards, wordsField } from "./keys.ts";

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

/** Entries of the index, or events, that one command returns. */
const page = 2_000;

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

/** The index is read from its end, since the latest are wanted. @returns ids, oldest first */
async function findIds(
  redis: RedisConnection,
  keys: EventKeys,
  word: string,
  limit: number,
): Promise<string[]> {
  const { shard, text } = fingerprint(word, shards);
  const ids: string[] = [];
  let end = "+";
  while (ids.length < limit) {
    const entries = await redis.xrevrange(keys.words(shard), end, "-", "COUNT", page);
    for (const [first, fields] of entries) ids.push(...placesOf(fieldOf(fields, wordsField), text, first));
    const last = entries.at(-1);
    if (last === undefined || entries.length < page) break;
    end = `(${last[0]}`;
  }
  return ids.slice(0, limit).reverse();
}

/** Latest first. @param records  of 10 characters: a fingerprint and the place of its event in the batch */
function placesOf(records: string, text: string, first: string): string[] {
  const ids: string[] = [];
  for (let start = 0; start < records.length; start += 10)
    if (records.startsWith(text, start))
      ids.push(idAt(first, decodeNumber(records.slice(start + 8, start + 10))));
  return ids.reverse();
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
