/** The names of the Redis keys that the cluster-wide limits use. Pure. */
import { queuePrefix } from "../runtime/redis.ts";

/** A hash: how many connections to a destination (or from a client) each process holds, and until when. */
export function slotsKey(destination: string): string {
  return `${queuePrefix}:slots:${destination}`;
}

/** When a rate would be used up evenly. */
export function rateKey(name: string): string {
  return `${queuePrefix}:rate:${name}`;
}

/** Up to when the turns of a line have been given away. */
export function retrySlotKey(line: string): string {
  return `${queuePrefix}:turn:${line}`;
}

/** A hash: no host of the path answered; since when, how they failed, and until when nobody asks again. */
export function deadDestinationKey(reachabilityKey: string): string {
  return `${queuePrefix}:silence:${reachabilityKey}`;
}
/** Silences marked before this time are void. */
export const voidSilencesKey = `${queuePrefix}:silence`;
