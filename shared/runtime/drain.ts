/**
 * Hosts that are taken out of service: a hash in Redis, in which each ingress process looks for its own host when it
 * announces itself, once a second. A host stays out until it is put back, also when its services are started again; a Redis
 * that was emptied puts it back.
 */
import { z } from "zod";
import { queuePrefix, type RedisConnection } from "./redis.ts";

const drainSchema = z.object({
  /** Epoch milliseconds. */
  sinceMs: z.number(),
  /** The name of a token. */
  by: z.string(),
  /** For people. */
  reason: z.string(),
});
export type Drain = z.infer<typeof drainSchema>;

/** By host. */
const drainsKey = `${queuePrefix}:drains`;

/** How a service follows it. */
export interface Draining {
  /** @param drain  `undefined`: the host is in service. Called again and again with the same */
  follow(drain: Drain | undefined): void;
  /** Connections of clients that are open. */
  sessions(): number;
}

/** @throws Error of Redis */
export async function readDrain(redis: RedisConnection, host: string): Promise<Drain | undefined> {
  return parseDrain(await redis.hget(drainsKey, host));
}

/** @throws Error of Redis */
export async function readDrains(redis: RedisConnection): Promise<Map<string, Drain>> {
  const drains = new Map<string, Drain>();
  for (const [host, text] of Object.entries(await redis.hgetall(drainsKey))) {
    const drain = parseDrain(text);
    if (drain !== undefined) drains.set(host, drain);
  }
  return drains;
}

/** A host that is out already stays so since its first time. @throws Error of Redis */
export async function beginDrain(redis: RedisConnection, host: string, drain: Drain): Promise<void> {
  await redis.hsetnx(drainsKey, host, JSON.stringify(drain));
}

/** @returns whether it was out @throws Error of Redis */
export async function endDrain(redis: RedisConnection, host: string): Promise<boolean> {
  return (await redis.hdel(drainsKey, host)) > 0;
}

function parseDrain(text: string | null): Drain | undefined {
  if (text === null) return undefined;
  try {
    return drainSchema.parse(JSON.parse(text));
  } catch {
    // Of a later version: that the host is out is all that counts.
    return { sinceMs: 0, by: "", reason: "" };
  }
}
