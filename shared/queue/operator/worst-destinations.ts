/** The destinations with the most deferred mail, and the most frequent reason of each. Pure. */
import type { IndexedJob } from "./mail-index.ts";
import type { ReasonGroup } from "./reason-group.ts";

export interface WorstDestination {
  /** The recipients' domain. */
  destination: string;
  /** Deferred jobs. */
  messages: number;
  /** When the oldest of them was received; ISO 8601. */
  oldestAt: string;
  reason: { code: number | null; status: string | null; text: string; messages: number };
}

export function worstDestinations(jobs: Iterable<IndexedJob>, limit: number): WorstDestination[] {
  const counts = new Map<string, { messages: number; oldestMs: number }>();
  const deferred: IndexedJob[] = [];
  for (const job of jobs) {
    if (job.status !== "deferred" || job.attempts === 0) continue;
    deferred.push(job);
    for (const domain of job.domains) {
      const count = counts.get(domain);
      if (count === undefined) counts.set(domain, { messages: 1, oldestMs: job.receivedAtMs });
      else {
        count.messages++;
        count.oldestMs = Math.min(count.oldestMs, job.receivedAtMs);
      }
    }
  }
  const worst = [...counts]
    .sort(([a, x], [b, y]) => y.messages - x.messages || (a < b ? -1 : 1))
    .slice(0, limit);
  const reasons = new Map(worst.map(([domain]) => [domain, new Map<ReasonGroup, number>()]));
  for (const job of deferred) {
    for (const domain of job.domains) {
      const ofDomain = reasons.get(domain);
      if (ofDomain === undefined) continue;
      for (const reason of job.reasons) ofDomain.set(reason, (ofDomain.get(reason) ?? 0) + 1);
    }
  }
  return worst.map(([destination, { messages, oldestMs }]) => {
    const [most] = [...(reasons.get(destination) ?? [])].sort(([, a], [, b]) => b - a);
    const [{ code, status, text }, count] = most ?? [{ code: null, status: null, text: "" }, 0];
    return {
      destination,
      messages,
      oldestAt: new Date(oldestMs).toISOString(),
      reason: { code, status, text, messages: count },
    };
  });
}
