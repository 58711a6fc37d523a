/**
 * The keys of events in Redis, the only place that knows them; where the key of the stream and its index begin with the
 * same braces, one script may write both in a Redis Cluster.
 *
 * - `PREFIX:events`: a stream. Its entries have several events that follow one another: `packing.ts`.
 * - `PREFIX:events:words:N`: streams that find events by word. An entry has the id of the first event of a batch, and in its
 *   field `w` a record for each word: 8 characters of its fingerprint, 2 of the event's place in the batch.
 */

/** So many that one shard is searched in milliseconds, so few that a batch does not write to hundreds of them. */
export const shards = 64;

export const wordsField = "w";
/** Characters of a record. */
export const recordLength = 10;

/** Events of one script: their places must fit into two characters (4096). */
export const maxBatch = 1_000;

export interface EventKeys {
  stream: string;
  words(shard: number): string;
}

/** @param prefix  of the queues, such as `{postern}` */
export function eventKeys(prefix: string): EventKeys {
  const words = Array.from({ length: shards }, (_, shard) => `${prefix}:events:words:${shard}`);
  return { stream: `${prefix}:events`, words: (shard) => words[shard] ?? "" };
}

/** The id of the event at a place of a batch. @param first  `1764523201123-0` */
export function idAt(first: string, place: number): string {
  const dash = first.indexOf("-");
  return `${first.slice(0, dash)}-${Number(first.slice(dash + 1)) + place}`;
}

/** Negative: `a` comes before `b`. @param a,b  ids of events */
export function compareIds(a: string, b: string): number {
  const [aMs = "0", aPlace = "0"] = a.split("-");
  const [bMs = "0", bPlace = "0"] = b.split("-");
  return Number(aMs) - Number(bMs) || Number(aPlace) - Number(bPlace);
}
