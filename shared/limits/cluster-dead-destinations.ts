/**
 * Dead destinations as all processes know them: no host answered one of them, and the others rely on that. The entries
 * stand in Redis and are read by the script that gives slots; here they are written.
 */
import type { RedisConnection } from "../runtime/redis.ts";
import type { Diagnosis } from "../smtp/diagnosis.ts";
import {
  deadBeforeVoidKey,
  deadDestinationKey,
  deadDestinationMember,
  deadDestinationsKey,
  leasesKey,
  markDeadScript,
  voidDeadScript,
} from "./cluster-scripts.ts";
import type { DeadDestinationPolicy } from "./dead-destinations.ts";
import type { RedisWithDeadline } from "./redis-with-deadline.ts";

const maxSuspects = 10_000;
/** Longer than any entry is kept. */
const voidForMs = 7 * 86_400_000;

/** Voids all entries that there are: the next message to each destination makes a real attempt. */
export async function forgetDeadDestinations(redis: RedisConnection): Promise<void> {
  await voidDeadScript.run(redis, [deadBeforeVoidKey], [voidForMs]);
}

export class ClusterDeadDestinations {
  readonly #redis: RedisWithDeadline;
  readonly #policy: DeadDestinationPolicy;
  /** Hosts that may have an entry in Redis, by reachability key: their first answer removes it. */
  readonly #suspects = new Set<string>();
  /** Entries that are being written. */
  readonly #marking = new Map<string, Promise<void>>();

  constructor(redis: RedisWithDeadline, policy: DeadDestinationPolicy) {
    this.#redis = redis;
    this.#policy = policy;
  }

  /** Resolves when Redis knows of a failure that this process has reported. */
  untilMarked(reachabilityKey: string): Promise<void> | undefined {
    return this.#marking.get(reachabilityKey);
  }

  suspect(reachabilityKey: string): void {
    // Those that are forgotten here become suspects again with their next probe.
    if (this.#suspects.size >= maxSuspects) this.#suspects.clear();
    this.#suspects.add(reachabilityKey);
  }

  /** A host has answered. @returns whether an entry may have stood against it */
  reportAnswer(reachabilityKey: string): boolean {
    if (!this.#suspects.delete(reachabilityKey)) return false;
    this.#redis.connection.del(deadDestinationKey(reachabilityKey)).catch(this.#redis.noteFailure);
    return true;
  }

  /** No host answered an attempt that took so long. */
  reportNoAnswer(destination: string, reachabilityKey: string, diagnosis: Diagnosis, tookMs: number): void {
    this.suspect(reachabilityKey);
    if (!this.#redis.isAvailable) return;
    const { firstMs, maxMs } = this.#policy;
    const keys = [
      deadDestinationKey(reachabilityKey),
      leasesKey(destination),
      deadBeforeVoidKey,
      deadDestinationsKey,
    ];
    const member = deadDestinationMember(destination, reachabilityKey);
    const args = [tookMs, firstMs, maxMs, JSON.stringify(diagnosis), member];
    const marked = this.#redis
      .run(markDeadScript, keys, args, () => undefined)
      .finally(() => this.#marking.delete(reachabilityKey));
    this.#marking.set(reachabilityKey, marked);
  }
}
