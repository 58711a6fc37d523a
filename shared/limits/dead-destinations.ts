/**
 * Dead destinations, of which no host answers: remembered, so that not every message finds out for itself. One process
 * remembers here what it saw; cluster-dead-destinations.ts does the same for all.
 */
import type { Config } from "../config/schema.ts";
import type { Live } from "../runtime/live.ts";
import type { Diagnosis } from "../smtp/diagnosis.ts";

export interface DeadDestinationPolicy {
  /** How long a dead destination is left alone at first; 0: nothing is remembered. */
  firstMs: number;
  /** Each probe that fails doubles it up to this. */
  maxMs: number;
}

/** The interval grows to so many times the configured one. */
const growth = 10;

/**
 * `limits.dead_destination`, but never more than half of the waits of `queue.retry`: a message that is alone on its
 * destination is really tried each time that its schedule says so.
 */
export function deadDestinationPolicy(config: Pick<Config, "limits" | "queue">): DeadDestinationPolicy {
  const configured = config.limits.dead_destination;
  const { retry } = config.queue;
  return {
    firstMs: Math.min(configured, Math.min(...retry) / 2),
    maxMs: Math.min(configured * growth, Math.max(...retry) / 2),
  };
}

/** The policy of whatever configuration is in force. */
export function livePolicy(live: Live<Pick<Config, "limits" | "queue">>): DeadDestinationPolicy {
  return {
    get firstMs() {
      return deadDestinationPolicy(live.current).firstMs;
    },
    get maxMs() {
      return deadDestinationPolicy(live.current).maxMs;
    },
  };
}

/** How long to leave it alone after another failed probe. @param beforeMs  the last interval; 0 for the first */
function nextIntervalMs(beforeMs: number, { firstMs, maxMs }: DeadDestinationPolicy): number {
  return Math.max(firstMs, Math.min(maxMs, beforeMs * 2));
}

interface Entry {
  /** How the last attempt failed. */
  diagnosis: Diagnosis;
  intervalMs: number;
  markedMs: number;
  /** Until then no attempt is made. */
  untilMs: number;
}

/** Entries that are kept before those whose time is long over are forgotten. */
const sweepAt = 10_000;

/** By reachability key: what has to answer for a destination to be alive. */
export class DeadDestinations {
  readonly #policy: DeadDestinationPolicy;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(policy: DeadDestinationPolicy, now: () => number) {
    this.#policy = policy;
    this.#now = now;
  }

  /** The cached failure; `undefined`: an attempt may be made. */
  failureOf(reachabilityKey: string): Diagnosis | undefined {
    const entry = this.#entries.get(reachabilityKey);
    return entry !== undefined && this.#now() < entry.untilMs ? entry.diagnosis : undefined;
  }

  /** An attempt is made: until it has ended, others rely on the cached failure. */
  startProbe(reachabilityKey: string): void {
    const entry = this.#entries.get(reachabilityKey);
    if (entry !== undefined) entry.untilMs = this.#now() + entry.intervalMs;
  }

  /** No host answered an attempt that began at `startedMs`. */
  mark(reachabilityKey: string, diagnosis: Diagnosis, startedMs: number): void {
    if (this.#policy.firstMs === 0) return;
    const nowMs = this.#now();
    if (this.#entries.size >= sweepAt) this.#sweep(nowMs);
    const before = this.#entries.get(reachabilityKey);
    // Attempts that were under way together are one probe.
    const isSameProbe = before !== undefined && before.markedMs >= startedMs;
    const intervalMs = isSameProbe
      ? before.intervalMs
      : nextIntervalMs(before?.intervalMs ?? 0, this.#policy);
    this.#entries.set(reachabilityKey, {
      diagnosis,
      intervalMs,
      markedMs: nowMs,
      untilMs: nowMs + intervalMs,
    });
  }

  /** A host has answered. */
  remove(reachabilityKey: string): void {
    this.#entries.delete(reachabilityKey);
  }

  #sweep(nowMs: number): void {
    for (const [reachabilityKey, { untilMs }] of this.#entries) {
      if (untilMs + this.#policy.maxMs < nowMs) this.#entries.delete(reachabilityKey);
    }
  }
}
