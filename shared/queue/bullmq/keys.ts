/** BullMQ's Redis keys, as version 6.7.0 lays them out. Nothing outside this room knows them: docs/decisions/0006-bullmq-inside.md. */
import type { Shard } from "../../shards/shard.ts";
import type { QueueName } from "../contract/contract.ts";

/** All that keys need to know of a shard. */
type Prefixed = Pick<Shard, "prefix">;

/** The prefix of every key of a queue. */
export function queueBase({ prefix }: Prefixed, queue: QueueName): string {
  return `${prefix}:${queue}:`;
}

/** The hash of a job. */
export function jobKey(shard: Prefixed, queue: QueueName, jobId: string): string {
  return queueBase(shard, queue) + jobId;
}

/** The lock of an active job: a string, its worker's token. */
export function lockKey(shard: Prefixed, queue: QueueName, jobId: string): string {
  return `${jobKey(shard, queue, jobId)}:lock`;
}

/** A list (`wait`, `active`: pushed at the head, popped from the tail) or sorted set (`delayed`, `failed`, `marker`) of a queue. */
export function queueKey(
  shard: Prefixed,
  queue: QueueName,
  collection: "wait" | "active" | "delayed" | "failed" | "marker",
): string {
  return queueBase(shard, queue) + collection;
}

/** A key of ours beside those of the queues. */
export function ownKey(
  { prefix }: Prefixed,
  name: "epoch" | "keeper:comparing" | "keeper:heartbeat" | "replaced",
): string {
  return `${prefix}:${name}`;
}
