/** Whether Redis can do what the queues need of it: take writes, and forget none of them. The connection is the caller's. */
import { queuePrefix, type RedisConnection } from "./redis.ts";
import { lastError } from "./redis-watch.ts";
import { withTimeout } from "./with-timeout.ts";

/** What takes longer counts as out of reach. */
const answerMs = 800;
const probeExpiryMs = 10_000;
/** From this share of `maxmemory` on, an operator should know. */
const nearlyFull = 0.9;

export type RedisHealthConnection = Pick<RedisConnection, "set" | "info" | "status">;

/**
 * Writes one key. Reading is not enough: with its memory or its disk full, Redis still answers PING.
 * @param prefix  of the keys of a shard of the queues
 * @returns one line for an operator; `undefined` when Redis took the write
 */
export async function whyRedisFails(
  redis: RedisHealthConnection,
  prefix: string = queuePrefix,
): Promise<string | undefined> {
  try {
    await withTimeout(redis.set(`${prefix}:probe`, "", "PX", probeExpiryMs), answerMs);
    return undefined;
  } catch (error) {
    const known = redis.status === "ready" ? undefined : lastError(redis);
    return describeRedisError(known ?? (error as Error).message);
  }
}

/** Pure. @param message  an error of Redis, or of the connection */
export function describeRedisError(message: string): string {
  if (message.startsWith("OOM"))
    return "Redis is full: its memory has reached maxmemory, and nothing can be scheduled; raise maxmemory";
  if (message.startsWith("MISCONF")) return "Redis refuses writes: it cannot write its files, see its log";
  if (message.startsWith("READONLY")) return "Redis refuses writes: it is a replica";
  // Replies of Redis begin with a word in capitals.
  if (/^(?:NO|LOADING|MASTERDOWN|CLUSTERDOWN|WRONGPASS|BUSY|ERR|UNKILLABLE)[A-Z]* /.test(message))
    return `Redis refuses writes: ${message}`;
  return `Redis is out of reach: ${message}`;
}

/**
 * What will keep Redis from its work, or lets it lose part of the schedule. None when it does not answer.
 * @param memoryInfo  asks for the section `memory` of INFO
 */
export async function redisWarnings(memoryInfo: () => Promise<string>): Promise<string[]> {
  try {
    return memoryWarnings(await withTimeout(memoryInfo(), answerMs));
  } catch {
    return [];
  }
}

/** Pure. @param info  the section `memory` of INFO. @returns octets; `maxBytes` is 0 without `maxmemory` */
export function memoryOf(info: string): RedisMemory {
  return { usedBytes: Number(valueIn(info, "used_memory")), maxBytes: Number(valueIn(info, "maxmemory")) };
}

/** Octets. */
export interface RedisMemory {
  usedBytes: number;
  maxBytes: number;
}

/**
 * Pure.
 * @param info  the section `memory` of INFO
 * @returns `undefined` where Redis does not fill up: without `maxmemory`, or when it evicts keys
 */
export function boundedMemoryOf(info: string): RedisMemory | undefined {
  const memory = memoryOf(info);
  return memory.maxBytes > 0 && !evicts(info) ? memory : undefined;
}

/** Pure. @param info  the section `memory` of INFO. @returns 0..1, or more; `undefined` without `maxmemory` */
export function memoryShareOf(info: string): number | undefined {
  const { usedBytes, maxBytes } = memoryOf(info);
  return maxBytes > 0 ? usedBytes / maxBytes : undefined;
}

function valueIn(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
}

/** Pure. @param info  the section `memory` of INFO */
export function memoryWarnings(info: string): string[] {
  const share = memoryShareOf(info);
  if (share === undefined) return [];
  const warnings: string[] = [];
  if (share >= nearlyFull) {
    const percent = Math.floor(100 * share);
    warnings.push(`Redis is nearly full: ${percent} % of maxmemory are used`);
  }
  if (evicts(info)) {
    const policy = valueIn(info, "maxmemory_policy");
    warnings.push(`Redis may drop parts of the schedule: its maxmemory-policy is ${policy}, not noeviction`);
  }
  return warnings;
}

/** A server that does not name its policy counts as one that evicts nothing. */
function evicts(info: string): boolean {
  const policy = valueIn(info, "maxmemory_policy");
  return policy !== "" && policy !== "noeviction";
}
