/** BullMQ's Redis keys, as version 6.7.0 lays them out. Nothing outside this room knows them: docs/decisions/0006-bullmq-inside.md. */
import { queuePrefix } from "../../runtime/redis.ts";
import type { QueueName } from "../contract/contract.ts";

/** The prefix of every key of a queue. */
export function queueBase(queue: QueueName): string {
  return `${queuePrefix}:${queue}:`;
}

/** The hash of a job. */
export function jobKey(queue: QueueName, jobId: string): string {
  return queueBase(queue) + jobId;
}

/** The lock of an active job: a string, its worker's token. */
export function lockKey(queue: QueueName, jobId: string): string {
  return `${jobKey(queue, jobId)}:lock`;
}

/** A list (`wait`, `active`: pushed at the head, popped from the tail) or sorted set (`delayed`, `failed`, `marker`) of a queue. */
export function queueKey(
  queue: QueueName,
  collection: "wait" | "active" | "delayed" | "failed" | "marker",
): string {
  return queueBase(queue) + collection;
}
