/**
 * The room of the shards: parts of the queues with a prefix of their own, each of which is one hash slot of a Redis
 * Cluster (docs/decisions/0010-shards.md). This file says which shard has the jobs of a message. Pure.
 */
import { shardOfId } from "../mail/queue-id.ts";
import { queuePrefix, type RedisConnection } from "../runtime/redis.ts";

/** A part of the queues, and the connection to its Redis server. */
export interface Shard {
  /** Of all of its keys: `{postern}`, or `{postern-0}` and so on. */
  readonly prefix: string;
  readonly redis: RedisConnection;
}

/** The shards that may have jobs. */
export interface Shards {
  readonly all: readonly Shard[];
  /** The one that has the jobs of a message. @param id  a queue id, or a job id that begins with one */
  of(id: string): Shard;
}

/** @param shard  its number; `undefined`: the only one where `queue.shards` is 1 */
export function shardPrefix(shard: number | undefined): string {
  return shard === undefined ? queuePrefix : `${queuePrefix.slice(0, -1)}-${shard}}`;
}

/** The prefix of the keys of a message's jobs. @param id  a queue id, or a job id that begins with one */
export function prefixOfId(id: string): string {
  return shardPrefix(shardOfId(id));
}

/** The prefixes of all shards of a configuration. @param shards  `queue.shards` */
export function prefixesOf(shards: number): string[] {
  if (shards <= 1) return [queuePrefix];
  return Array.from({ length: shards }, (_, shard) => shardPrefix(shard));
}

/** Items by the shard that has their jobs. @param idOf  the queue id or job id of an item */
export function byShard<T>(
  shards: Pick<Shards, "of">,
  items: readonly T[],
  idOf: (item: T) => string,
): Map<Shard, T[]> {
  if (items.length === 0) return new Map();
  return Map.groupBy(items, (item) => shards.of(idOf(item)));
}

/**
 * Asks each shard about its items, all at once.
 * @param ask  answers for each of the items in their order
 * @returns the answers in the order of the items
 */
export async function askByShard<T, A>(
  shards: Pick<Shards, "of">,
  items: readonly T[],
  idOf: (item: T) => string,
  ask: (shard: Shard, items: readonly T[]) => Promise<readonly A[]>,
): Promise<A[]> {
  const indexes = byShard(
    shards,
    items.map((item, index) => ({ item, index })),
    ({ item }) => idOf(item),
  );
  const answers: A[] = new Array(items.length);
  await Promise.all(
    [...indexes].map(async ([shard, some]) => {
      const own = await ask(
        shard,
        some.map(({ item }) => item),
      );
      for (const [at, { index }] of some.entries()) answers[index] = own[at] as A;
    }),
  );
  return answers;
}
