/**
 * Reads the events of all shards as if they stood in one stream. An event of one of several shards has an id that says in
 * which one it stands: its place in the stream's millisecond times 64, plus the number of the stream. The connections are
 * its caller's.
 */
import { queuePrefix } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";
import type { Shard, Shards } from "../../shards/shard.ts";
import type { StreamEvent } from "../event.ts";
import { createEventReader, type EventReader } from "./event-reader.ts";

/** More than there are shards. */
const streams = 64;
/** Of any place in a millisecond; ids have ten digits there. */
const lastPlace = 9_999_999_999;

interface Stream {
  shard: Shard;
  /** 0 for the only shard, else the number of the shard and one. */
  number: number;
  reader: EventReader;
}

/** @param shards  those that may have events */
export function createShardedEventReader(shards: Pick<Shards, "all">): EventReader {
  const opened = new WeakMap<Shard, Stream>();
  const streamOf = (shard: Shard): Stream => {
    const known = opened.get(shard);
    if (known !== undefined) return known;
    const stream = {
      shard,
      number: streamNumber(shard.prefix),
      reader: createEventReader(shard.redis, shard.prefix),
    };
    opened.set(shard, stream);
    return stream;
  };
  const all = (): Stream[] => shards.all.map(streamOf);
  /** With one shard, the ids of its stream are what they are. */
  const only = (): EventReader | undefined => {
    const [first, ...others] = all();
    return others.length === 0 ? first?.reader : undefined;
  };
  const ofAll = async (
    read: (stream: Stream) => Promise<StreamEvent[]>,
    direction: 1 | -1 = 1,
  ): Promise<StreamEvent[]> => {
    const found = await Promise.all(
      all().map(async (stream) =>
        (await read(stream)).map((event) => ({ ...event, eventId: globalId(event.eventId, stream.number) })),
      ),
    );
    return found.flat().sort((a, b) => direction * compareIds(a.eventId, b.eventId));
  };

  return {
    async find(word, limit) {
      const reader = only();
      if (reader !== undefined) return reader.find(word, limit);
      return (await ofAll((stream) => stream.reader.find(word, limit))).slice(-limit);
    },
    async after(eventId, limit) {
      const reader = only();
      if (reader !== undefined) return reader.after(eventId, limit);
      const untilMs = await horizonMs(all());
      const events = await ofAll(({ reader, number }) =>
        reader.after(eventId === "0" ? "0" : lastBefore(eventId, number), limit),
      );
      return events.filter((event) => msOf(event.eventId) < untilMs).slice(0, limit);
    },
    async before(eventId, limit) {
      const reader = only();
      if (reader !== undefined) return reader.before(eventId, limit);
      const events = await ofAll(
        ({ reader, number }) =>
          reader.before(eventId === undefined ? undefined : firstNotBefore(eventId, number), limit),
        -1,
      );
      return events.slice(0, limit);
    },
    async lastId() {
      const reader = only();
      if (reader !== undefined) return reader.lastId();
      return `${(await horizonMs(all())) - 1}-${lastPlace}`;
    },
  };
}

/**
 * From this millisecond on events may still be appended to any of the streams: what is read up to there is complete, though
 * the servers are asked one after the other, and their clocks differ.
 */
async function horizonMs(all: readonly Stream[]): Promise<number> {
  const times = await Promise.all(
    all.map(async ({ shard }) => {
      const [seconds, microseconds] = await timeOf(shard);
      return seconds * 1_000 + Math.floor(microseconds / 1_000);
    }),
  );
  return Math.min(...times);
}

/** KEYS: any key of the shard. */
const clock = new Script(`return redis.call("TIME")`);

/** In a cluster, that of the server which has the shard. */
async function timeOf({ redis, prefix }: Shard): Promise<[seconds: number, microseconds: number]> {
  const [seconds = 0, microseconds = 0] = (await clock.run(redis, [`${prefix}:events`], [])) as unknown[];
  return [Number(seconds), Number(microseconds)];
}

/** Pure. @param prefix  of a shard */
export function streamNumber(prefix: string): number {
  if (prefix === queuePrefix) return 0;
  return 1 + Number(/-(\d+)}$/.exec(prefix)?.[1] ?? 0);
}

/** Pure. @param streamId  the id of an event in its stream */
export function globalId(streamId: string, number: number): string {
  const [ms, place] = partsOf(streamId);
  return `${ms}-${place * streams + number}`;
}

/** The last id that this stream may have up to and with an event of any stream. Pure. */
export function lastBefore(eventId: string, number: number): string {
  const [ms, place] = partsOf(eventId);
  const own = Math.floor((place - number) / streams);
  return own >= 0 ? `${ms}-${own}` : `${ms - 1}-${lastPlace}`;
}

/** The first id that this stream may have from an event of any stream on. Pure. */
export function firstNotBefore(eventId: string, number: number): string {
  const [ms, place] = partsOf(eventId);
  return `${ms}-${Math.max(0, Math.ceil((place - number) / streams))}`;
}

function compareIds(a: string, b: string): number {
  const [aMs, aPlace] = partsOf(a);
  const [bMs, bPlace] = partsOf(b);
  return aMs - bMs || aPlace - bPlace;
}

function msOf(eventId: string): number {
  return partsOf(eventId)[0];
}

function partsOf(id: string): [ms: number, place: number] {
  const [ms = 0, place = 0] = id.split("-").map(Number);
  return [ms, place];
}
