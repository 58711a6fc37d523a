/** The names of the Redis keys: BullMQ's own, as its queues lay them out, and ours beside them. */

import { queuePrefix } from "../../runtime/redis.ts";
import type { QueueName } from "../contract/contract.ts";

/** What BullMQ puts before every key of a queue. */
export function queueBase(queue: QueueName): string {
  return `${queuePrefix}:${queue}:`;
}

/** The hash of a job. */
export function jobKey(queue: QueueName, jobId: string): string {
  return `${queuePrefix}:${queue}:${jobId}`;
}

/** BullMQ's lists (`wait`: pushed at the head, taken from the tail), sets and marker. */
export function queueKey(
  queue: QueueName,
  part: "wait" | "active" | "delayed" | "failed" | "marker",
): string {
  return `${queuePrefix}:${queue}:${part}`;
}

/** A hash: hold rules by id, and `version`. */
export const holdsKey = `${queuePrefix}:holds`;
/** A channel: something about the holds changed. */
export const holdsChannel = `${queuePrefix}:holds:changed`;
/** The keeper's lease. */
export const reconcilerLeaseKey = `${queuePrefix}:keeper`;
/** What the keeper wrote last; another value says that Redis forgot something. */
export const reconcilerHeartbeatKey = `${queuePrefix}:keeper:heartbeat`;
/** Counted up by whoever knows that the schedule may lack something. */
export const scanRequestsKey = `${queuePrefix}:keeper:scans`;
/** Random; gone or another one when Redis was emptied. */
export const epochKey = `${queuePrefix}:epoch`;

/**
 * BullMQ orders delayed jobs by due time in milliseconds times 4096 (12 bits of sequence).
 * Scores are doubles, so due times end in 2039.
 */
export const delayedScoreFactor = 4096;

/** Due times from here on (2039-05) mean "held": a job parked until someone releases it. */
export const heldFromMs = 2_190_000_000_000;

/** From where the seconds in such a due time count: 2020. */
export const heldEpochMs = 1_577_836_800_000;

/** @returns a due time that says "held", and since when, to the second */
export function heldDueMs(nowMs: number): number {
  return heldFromMs + Math.floor((nowMs - heldEpochMs) / 1000);
}

export const heldFromScore = heldFromMs * delayedScoreFactor;
