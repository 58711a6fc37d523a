/**
 * Failed logins, counted by client and by user: how many in a period that begins with the first. This is the count of one
 * process; cluster-login-failures.ts keeps one for all.
 */
import type { Rate } from "../config/values.ts";

export interface LoginAttempt {
  /** The client's address or network. */
  client: string;
  user: string;
}

export interface LoginLimits {
  client: Rate;
  user: Rate;
}

export type ReachedLimit = "client" | "user" | undefined;

export interface LoginFailures {
  /** Which limit is reached. Counts nothing. */
  limitReached(attempt: LoginAttempt, limits: LoginLimits): Promise<ReachedLimit>;
  /** @returns the client's failures in this period, this one included */
  countFailure(attempt: LoginAttempt, limits: LoginLimits): Promise<number>;
  /**
   * From this client the user's limit does not apply for a while: else whoever knows a user's name could lock the user
   * out by failing.
   */
  countSuccess(attempt: LoginAttempt): void;
}

/** How long a client that has logged in as a user is known to. */
export const knownClientMs = 30 * 86_400_000;

/** What the counters say, decided. Pure. */
export function decideLimit(
  counts: { client: number; user: number; isKnownClient: boolean },
  limits: LoginLimits,
): ReachedLimit {
  if (counts.client >= limits.client.count) return "client";
  return counts.user >= limits.user.count && !counts.isKnownClient ? "user" : undefined;
}

interface Entry {
  count: number;
  endsMs: number;
}

/**
 * At so many entries those whose period is over are forgotten, and then the oldest, down to `keptEntries`: not one by one, for
 * who tries many names would have all entries searched at each.
 */
const maxEntries = 20_000;
const keptEntries = 18_000;

/** @param nowMs  milliseconds of any clock that only moves forward */
export function createLocalLoginFailures(nowMs: () => number = () => performance.now()): LoginFailures {
  const entries = new Map<string, Entry>();
  const countOf = (key: string): number => {
    const entry = entries.get(key);
    return entry === undefined || entry.endsMs <= nowMs() ? 0 : entry.count;
  };
  const count = (key: string, periodMs: number): number => {
    const before = countOf(key);
    if (before === 0) {
      if (entries.size >= maxEntries) forget(entries, nowMs());
      entries.delete(key);
      entries.set(key, { count: 1, endsMs: nowMs() + periodMs });
      return 1;
    }
    const entry = entries.get(key);
    if (entry !== undefined) entry.count = before + 1;
    return before + 1;
  };
  return {
    async limitReached(attempt, limits) {
      const { client, user, known } = keysOf(attempt);
      const counts = { client: countOf(client), user: countOf(user), isKnownClient: countOf(known) > 0 };
      return decideLimit(counts, limits);
    },
    async countFailure(attempt, limits) {
      const { client, user } = keysOf(attempt);
      count(user, limits.user.periodMs);
      return count(client, limits.client.periodMs);
    },
    countSuccess(attempt) {
      const { known } = keysOf(attempt);
      entries.delete(known);
      count(known, knownClientMs);
    },
  };
}

function forget(entries: Map<string, Entry>, nowMs: number): void {
  for (const [key, { endsMs }] of entries) if (endsMs <= nowMs) entries.delete(key);
  for (const key of entries.keys()) {
    if (entries.size <= keptEntries) return;
    entries.delete(key);
  }
}

function keysOf({ client, user }: LoginAttempt) {
  return { client: `client ${client}`, user: `user ${user}`, known: `known ${client} ${user}` };
}
