/** One page of the indexed jobs in some order, and the totals of all that match. Pure. */
import { type JobStatus, listedQueues, statusesOf } from "../bullmq/job-places.ts";
import type { IndexedJob } from "./mail-index.ts";
import { compareKeys, cursorAfter, parseCursor, type RowKey, type RowSort } from "./row-order.ts";

/** `queue`: active, waiting, deferred, held, in the order in which workers take them. */
export type IndexSort = "queue" | RowSort;

/** How many jobs match, on all pages. */
export interface Totals {
  matched: number;
  statuses: Record<JobStatus, number>;
  /** Octets. */
  size: number;
}

export interface IndexPage {
  /** In order. */
  jobs: IndexedJob[];
  /** For the next page; `null` after the last. */
  next: string | null;
  totals: Totals;
}

const sections = listedQueues.flatMap((queue) => statusesOf(queue).map((status) => `${queue} ${status}`));
/** Due times have 13 digits: a section's orders stay within a part of this size. */
const sectionSize = 1e14;
const never = Number.MAX_SAFE_INTEGER;

/** As rowKey() in row-order.ts has them. */
const keys: Record<IndexSort, (job: IndexedJob) => number> = {
  queue: ({ queue, status, order }) => (1 + sections.indexOf(`${queue} ${status}`)) * sectionSize + order,
  oldest: ({ receivedAtMs }) => receivedAtMs,
  newest: ({ receivedAtMs }) => -receivedAtMs,
  next: ({ dueAtMs, status }) => dueAtMs || (status === "held" || status === "dead" ? never : 0),
  attempts: ({ attempts }) => -attempts,
  largest: ({ size }) => -size,
};

/**
 * @param cursor  `next` of the page before
 * @returns `undefined` when the cursor is not one of a list
 */
export function pageOf(
  jobs: Iterable<IndexedJob>,
  matches: (job: IndexedJob) => boolean,
  sort: IndexSort,
  limit: number,
  cursor?: string,
): IndexPage | undefined {
  const after = cursor === undefined ? undefined : parseCursor(cursor);
  if (cursor !== undefined && after === undefined) return undefined;
  const keyOf = keys[sort];
  const totals: Totals = {
    matched: 0,
    statuses: { waiting: 0, active: 0, deferred: 0, held: 0, dead: 0 },
    size: 0,
  };
  const least = new Least(limit);
  for (const job of jobs) {
    if (!matches(job)) continue;
    totals.matched++;
    totals.statuses[job.status]++;
    totals.size += job.size;
    const found = { key: keyOf(job), id: job.id, job };
    if (after === undefined || compareKeys(found, after) > 0) least.add(found);
  }
  const found = least.sorted();
  const last = found.at(-1);
  const next = last !== undefined && found.length === limit ? cursorAfter(last) : null;
  return { jobs: found.map(({ job }) => job), next, totals };
}

interface FoundJob extends RowKey {
  job: IndexedJob;
}

/** Keeps the least of many values without sorting them all. */
class Least {
  readonly #limit: number;
  #values: FoundJob[] = [];
  #greatest: FoundJob | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(value: FoundJob): void {
    if (this.#greatest !== undefined && compareKeys(value, this.#greatest) >= 0) return;
    this.#values.push(value);
    if (this.#values.length < this.#limit * 2 + 100) return;
    this.#values = this.sorted();
    this.#greatest = this.#values.at(-1);
  }

  sorted(): FoundJob[] {
    return [...this.#values].sort(compareKeys).slice(0, this.#limit);
  }
}
