/** Pages of a sorted list: one pass over the jobs for each page. It owns nothing; connections are the caller's. */
import type { Shards } from "../../shards/shard.ts";
import { forEachJob, type JobPlace } from "../bullmq/job-places.ts";
import {
  compareKeys,
  cursorAfter,
  parseCursor,
  placeKey,
  type RowKey,
  type RowSort,
  rowKey,
} from "./row-order.ts";
import { type JobFilter, jobMatcher, type QueueRow, rowOf } from "./rows.ts";
import { type JobFinder, shardSections } from "./selection.ts";

/** A cursor that list() never gave out. */
export class BadCursor extends Error {
  override name = "BadCursor";
}

/** More jobs than can be sorted while a client waits. */
export class TooManyToSort extends Error {
  override name = "TooManyToSort";
}

/** Sorting gives up after so long; clients wait for ten seconds. */
const sortMs = 8_000;
const chunk = 500;

export interface SortedPage {
  rows: QueueRow[];
  next: string | null;
}

/** @throws BadCursor, TooManyToSort */
export async function sortedPage(
  { all }: Shards,
  finder: JobFinder,
  filter: JobFilter,
  sort: RowSort,
  { limit, cursor }: { limit: number; cursor?: string },
): Promise<SortedPage> {
  const after = cursor === undefined ? undefined : parseCursor(cursor);
  if (cursor !== undefined && after === undefined) throw new BadCursor("not a cursor of this list");
  const untilMs = Date.now() + sortMs;
  const checkTime = (): void => {
    if (Date.now() > untilMs) throw new TooManyToSort("narrow the list with a filter, or leave out sort");
  };
  const isAfter = (key: RowKey): boolean => after === undefined || compareKeys(key, after) > 0;
  const matches = jobMatcher(filter, Date.now());

  /** Reads jobs in this order until the page is full. */
  const inOrder = async (keyed: (RowKey & { place: JobPlace })[]): Promise<SortedPage> => {
    const rows: (RowKey & { row: QueueRow })[] = [];
    for (let start = 0; start < keyed.length && rows.length <= limit; start += chunk) {
      checkTime();
      const some = keyed.slice(start, start + chunk);
      const jobs = await finder.read(some.map(({ place }) => place));
      const byId = new Map(jobs.filter(matches).map((job) => [rowOf(job).id, rowOf(job)]));
      for (const { key, id } of some) {
        const row = byId.get(id);
        if (row !== undefined) rows.push({ key, id, row });
      }
    }
    return pageOf(rows, limit);
  };

  const keyed: (RowKey & { place: JobPlace })[] = [];
  let best: (RowKey & { row: QueueRow })[] = [];
  const seen = new Set<string>();
  for (const [shard, queue, status] of shardSections(all, filter)) {
    await forEachJob(shard, queue, status, async (places) => {
      checkTime();
      // A job may be met twice when it moves meanwhile.
      const fresh = places.filter(({ jobId }) => !seen.has(jobId));
      for (const { jobId } of fresh) seen.add(jobId);
      const unread: JobPlace[] = [];
      for (const place of fresh) {
        const key = placeKey(sort, place);
        if (key === undefined) unread.push(place);
        else if (isAfter({ key, id: place.jobId })) keyed.push({ key, id: place.jobId, place });
      }
      for (const job of (await finder.read(unread)).filter(matches)) {
        const row = rowOf(job);
        const key = { key: rowKey(sort, row), id: row.id };
        if (isAfter(key)) best.push({ ...key, row });
      }
      if (best.length > 4 * limit + chunk) best = best.sort(compareKeys).slice(0, limit + 1);
      return 0;
    });
  }
  return keyed.length > 0 ? inOrder(keyed.sort(compareKeys)) : pageOf(best.sort(compareKeys), limit);
}

function pageOf(rows: (RowKey & { row: QueueRow })[], limit: number): SortedPage {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next = rows.length > limit && last !== undefined ? cursorAfter(last) : null;
  return { rows: page.map(({ row }) => row), next };
}
