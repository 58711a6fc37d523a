/** Queued mail in groups, by age as Postfix's qshape shows it. Pure. */
import type { IndexedJob } from "./mail-index.ts";

export const groupings = ["destination", "reason", "sender", "route"] as const;
export type Grouping = (typeof groupings)[number];

/** Upper bounds of the columns, in minutes; what is older counts as `older`. */
const boundsMinutes = [5, 10, 20, 40, 80, 160, 320, 640, 1280];
/** The names of the columns, youngest first. */
export const ageNames: readonly string[] = [...boundsMinutes.map((minutes) => `${minutes}m`), "older"];

/** When messages of each column were received at the earliest, epoch milliseconds. */
export function ageBounds(nowMs: number): number[] {
  return boundsMinutes.map((minutes) => nowMs - minutes * 60_000);
}

export interface SummaryRow {
  /** The recipients' domain, the reason, the reverse-path (`<>` for none), or the route. */
  key: string;
  /** Jobs. One with recipients in two domains, or with two reasons, counts in both groups. */
  messages: number;
  /** When the oldest was received; ISO 8601. */
  oldestAt: string;
  /** Jobs by age, in all columns of ageNames. */
  ages: Record<string, number>;
  /** The id of a job: of the oldest. */
  sample: string;
  held: number;
  /** Only by reason: the reply's code, the enhanced status, the words, and when it was first and last the answer. */
  reason?: ReasonFacts;
}

export interface ReasonFacts {
  code: number | null;
  status: string | null;
  text: string;
  firstAt: string | null;
  lastAt: string | null;
  /** The domains of recipients that it concerns. */
  destinations: number;
}

export interface Summary {
  /** The largest groups first. */
  rows: SummaryRow[];
  /** Of the matching jobs, each once, with the columns of all. */
  total: { messages: number; held: number; oldestAt: string | null; ages: Record<string, number> };
  /** All groups, those beyond the limit included. */
  groups: number;
}

interface Group {
  messages: number;
  held: number;
  oldest: IndexedJob;
  ages: number[];
  firstMs: number;
  lastMs: number;
  /** Equal lists of domains are one array. */
  domains: Set<readonly string[]>;
}

/**
 * @param limit        groups at most, the largest
 * @param firstSeenMs  when a reason was first seen, which may be longer ago than the last attempts of today's jobs
 */
export function summarise(
  jobs: Iterable<IndexedJob>,
  { by, limit, nowMs }: { by: Grouping; limit: number; nowMs: number },
  matches: (job: IndexedJob) => boolean,
  firstSeenMs: (reasonKey: string) => number | undefined = () => undefined,
): Summary {
  const groups = new Map<string, Group>();
  const bounds = ageBounds(nowMs);
  const total = { messages: 0, held: 0, ages: emptyAges() };
  let oldest: IndexedJob | undefined;
  for (const job of jobs) {
    if (!matches(job)) continue;
    const column = columnOf(job.receivedAtMs, bounds);
    const isHeld = job.status === "held" ? 1 : 0;
    total.messages++;
    total.held += isHeld;
    total.ages[column] = (total.ages[column] ?? 0) + 1;
    if (oldest === undefined || job.receivedAtMs < oldest.receivedAtMs) oldest = job;
    for (const key of keysOf(job, by)) {
      let group = groups.get(key);
      if (group === undefined) {
        group = {
          messages: 0,
          held: 0,
          oldest: job,
          ages: emptyAges(),
          firstMs: Number.POSITIVE_INFINITY,
          lastMs: 0,
          domains: new Set(),
        };
        groups.set(key, group);
      }
      group.messages++;
      group.held += isHeld;
      group.ages[column] = (group.ages[column] ?? 0) + 1;
      if (job.receivedAtMs < group.oldest.receivedAtMs) group.oldest = job;
      if (by !== "reason") continue;
      if (job.lastAttemptAtMs > 0) {
        group.firstMs = Math.min(group.firstMs, job.lastAttemptAtMs);
        group.lastMs = Math.max(group.lastMs, job.lastAttemptAtMs);
      }
      group.domains.add(job.domains);
    }
  }
  const largest = [...groups]
    .sort(([a, x], [b, y]) => y.messages - x.messages || (a < b ? -1 : 1))
    .slice(0, limit);
  return {
    rows: largest.map(([key, group]) => rowOf(key, group, by, firstSeenMs)),
    total: {
      ...total,
      oldestAt: oldest === undefined ? null : iso(oldest.receivedAtMs),
      ages: named(total.ages),
    },
    groups: groups.size,
  };
}

function keysOf(job: IndexedJob, by: Grouping): readonly string[] {
  switch (by) {
    case "destination":
      return job.domains;
    case "reason":
      return job.reasons.map(({ key }) => key);
    case "sender":
      return [job.from === "" ? "<>" : job.from];
    case "route":
      return [job.route === "" ? "not routed yet" : job.route];
  }
}

function rowOf(
  key: string,
  { messages, held, oldest, ages, firstMs, lastMs, domains }: Group,
  by: Grouping,
  firstSeenMs: (reasonKey: string) => number | undefined,
): SummaryRow {
  const row: SummaryRow = {
    key,
    messages,
    oldestAt: iso(oldest.receivedAtMs),
    ages: named(ages),
    sample: oldest.id,
    held,
  };
  const reason = by === "reason" ? oldest.reasons.find((each) => each.key === key) : undefined;
  if (reason === undefined) return row;
  const first = Math.min(firstMs, firstSeenMs(key) ?? Number.POSITIVE_INFINITY);
  const { code, status, text } = reason;
  return {
    ...row,
    reason: {
      code,
      status,
      text,
      firstAt: Number.isFinite(first) ? iso(first) : null,
      lastAt: lastMs > 0 ? iso(lastMs) : null,
      destinations: new Set([...domains].flat()).size,
    },
  };
}

/** @param bounds  the times at which each column begins, the youngest first */
/** The column of ageNames that a message is in. */
export function columnOf(receivedAtMs: number, bounds: readonly number[]): number {
  let column = 0;
  while (column < bounds.length && receivedAtMs < (bounds[column] ?? 0)) column++;
  return column;
}

function emptyAges(): number[] {
  return new Array(ageNames.length).fill(0);
}

function named(ages: readonly number[]): Record<string, number> {
  return Object.fromEntries(ageNames.map((name, index) => [name, ages[index] ?? 0]));
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
