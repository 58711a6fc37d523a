/**
 * How much restored mail Redis may take now. A spool may be larger than Redis' memory: what is restored stops well before
 * fresh mail is refused, and goes on as deliveries make room.
 */
import { boundedMemoryOf, type RedisMemory } from "../../runtime/redis-health.ts";
import type { Shards } from "../../shards/shard.ts";
import { countWaiting } from "../bullmq/job-places.ts";

/**
 * Restored mail has this share of `maxmemory`, in percent, and always less than the threshold by a clear margin. From 80 %
 * on, events would be removed for it (shared/events/stream).
 */
const restoredPercent = 75;
const ofThreshold = 0.85;
/** An ingress that refuses mail takes it again at this share of its threshold (services/ingress/admission). */
const easedShare = 0.95;
/** A scan that stopped goes on when this share of `maxmemory` is free for it, not for each job that ends. */
const worthwhileShare = 0.01;
/**
 * So many jobs, if they take no more than that share, are added as long as fresh mail is accepted: at each scan, since a
 * process that was killed leaves a few messages in the spool alone, which must not wait for days; and while fewer are in the
 * queues, since then it is not the mail that fills Redis.
 */
export const fewJobs = 500;

/** Of Redis' memory, with what BullMQ keeps of a job; without addresses. */
export const octetsOfJob = 1_300;
/** A job that waits for its first attempt grows when it is deferred: by its history, with the reply of a server. */
const octetsOfHistory = 400;

export interface ServerMemory extends RedisMemory {
  /** Jobs that wait there for a worker. */
  waiting: number;
}

/**
 * Pure.
 * @param server       one that fills up
 * @param refusedFrom  `limits.pressure.redis_memory`: the percentage of `maxmemory` from which mail is refused; 0: never
 * @param few          how many jobs may be added as long as fresh mail is accepted
 * @returns octets of Redis' memory, 0 or more
 */
export function roomForRestored(server: ServerMemory, refusedFrom: number, few: number): number {
  const { usedBytes, maxBytes, waiting } = server;
  const threshold = refusedFrom === 0 ? 100 : refusedFrom;
  const below = (percent: number): number => (maxBytes * percent) / 100 - usedBytes;
  const room = below(Math.min(restoredPercent, ofThreshold * threshold)) - waiting * octetsOfHistory;
  const octetsOfFew = Math.min(few * octetsOfJob, worthwhileShare * maxBytes);
  return Math.max(0, room, Math.min(octetsOfFew, below(easedShare * threshold)));
}

/**
 * Pure: whether a scan that stopped for lack of room should go on.
 * @param queued  jobs in the delivery queues that are not held
 */
export function isWorthGoingOn(server: ServerMemory, refusedFrom: number, queued: number): boolean {
  const room = roomForRestored(server, refusedFrom, fewLeft(queued));
  return room >= (queued < fewJobs / 2 ? octetsOfJob : worthwhileShare * server.maxBytes);
}

/** Pure. @param queued  as for isWorthGoingOn(). @returns how many jobs a scan that goes on may add in any case */
export function fewLeft(queued: number): number {
  return Math.max(0, fewJobs - queued);
}

/**
 * Of each server that has shards, those that do not fill up left out. A server that does not say counts as one of these.
 * @throws Error of the connection
 */
export async function readMemories({ all }: Pick<Shards, "all">): Promise<ServerMemory[]> {
  const servers = [...Map.groupBy(all, ({ redis }) => redis)];
  const memories = await Promise.all(
    servers.map(async ([redis, own]) => {
      const memory = boundedMemoryOf(await infoOf(redis));
      return memory && { ...memory, waiting: await countWaiting({ all: own }) };
    }),
  );
  return memories.filter((memory) => memory !== undefined);
}

async function infoOf(redis: Shards["all"][number]["redis"]): Promise<string> {
  try {
    return String(await redis.info("memory"));
  } catch (error) {
    // A user without the right to ask.
    if (error instanceof Error && error.name === "ReplyError") return "";
    throw error;
  }
}
