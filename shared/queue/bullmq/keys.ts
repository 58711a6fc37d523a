/** The names of the Redis keys: BullMQ's own, as its queues lay them out, and ours beside them. */
import { type QueueName, queuePrefix } from "../contract/contract.ts";

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
export const keeperLeaseKey = `${queuePrefix}:keeper`;
/** What the keeper wrote last; another value says that Redis forgot something. */
export const keeperHeartbeatKey = `${queuePrefix}:keeper:heartbeat`;
/** Counted up by whoever knows that the schedule may lack something. */
export const scanRequestsKey = `${queuePrefix}:keeper:scans`;
/** A hash: how many connections to a destination (or from a client) each process holds, and until when. */
export function slotsKey(destination: string): string {
  return `${queuePrefix}:slots:${destination}`;
}

/** When a rate would be used up evenly. */
export function rateKey(name: string): string {
  return `${queuePrefix}:rate:${name}`;
}

/** Up to when the turns of a line have been given away. */
export function turnKey(line: string): string {
  return `${queuePrefix}:turn:${line}`;
}

/** A hash: no host of the path answered; since when, how they failed, and until when nobody asks again. */
export function silenceKey(path: string): string {
  return `${queuePrefix}:silence:${path}`;
}
/** Silences marked before this time are void. */
export const voidSilencesKey = `${queuePrefix}:silence`;

/** Random; gone or another one when Redis was emptied. */
export const epochKey = `${queuePrefix}:epoch`;

/**
 * BullMQ orders delayed jobs by due time in milliseconds times 4096 (12 bits of sequence).
 * Scores are doubles, so due times end in 2039.
 */
export const delayedScoreFactor = 4096;

/** Due times from here on (2039-05) mean "held": a job parked until someone releases it. */
export const parkedFromMs = 2_190_000_000_000;

/** From where the seconds in such a due time count: 2020. */
export const parkedEpochMs = 1_577_836_800_000;

/** @returns a due time that says "held", and since when, to the second */
export function parkedAtMs(nowMs: number): number {
  return parkedFromMs + Math.floor((nowMs - parkedEpochMs) / 1000);
}

export const parkedFromScore = parkedFromMs * delayedScoreFactor;
