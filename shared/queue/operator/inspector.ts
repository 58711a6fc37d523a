/**
 * The operator's room: lists the queues and changes jobs, for the admin's API and `postern queue`. Made for a million
 * jobs: pages and chunks, no KEYS. Owns one connection; close() ends it.
 */
import type { Logger } from "../../runtime/log.ts";
import { createRedis, type RedisConfig } from "../../runtime/redis.ts";
import { countJobs, pageOfJobs, type QueueCounts } from "../bullmq/job-places.ts";
import type { Holds } from "../holds/store.ts";
import { type Changed, type ChangeReport, type HoldReport, type HoldTerms, JobChanges } from "./changes.ts";
import type { RowSort } from "./row-order.ts";
import { type InspectedJob, type JobFilter, jobIdOf, jobMatcher, type QueueRow, rowOf } from "./rows.ts";
import { JobFinder, type JobSelection, sections } from "./selection.ts";
import { BadCursor, sortedPage } from "./sorted-list.ts";

export type { QueueCounts } from "../bullmq/job-places.ts";
export type { Changed, ChangeReport } from "./changes.ts";
export type { JobSelection } from "./selection.ts";
export { BadCursor, TooManyToSort } from "./sorted-list.ts";

export interface JobPage {
  rows: QueueRow[];
  /** For the next page; `null` after the last. A short page may have a next one: a search that takes long ends its page. */
  next: string | null;
}

export interface Inspector {
  /**
   * In the order of the queues, which any number of jobs may have; or sorted, which needs a pass over all of them.
   * @throws BadCursor, TooManyToSort
   */
  list(filter: JobFilter, page: { limit: number; cursor?: string; sort?: RowSort }): Promise<JobPage>;
  /** The jobs that an id names, as in JobSelection. */
  find(id: string): Promise<InspectedJob[]>;
  /** Calls back with the selected jobs, chunk by chunk, so that they can be settled in the spool before a change. */
  forEach(
    selection: JobSelection,
    each: (jobs: InspectedJob[]) => Promise<void>,
  ): Promise<{ unknown: string[] }>;
  /** Jobs by queue and status, `dead` ones as waiting in the queue `dead`. */
  counts(): Promise<QueueCounts>;
  /** Makes deferred jobs due now; held ones stay held. */
  retry(selection: JobSelection, changed?: Changed): Promise<ChangeReport>;
  /**
   * Holds jobs until release(). All mail, one sender or one destination become a rule that also holds later mail; any
   * other selection is held job by job.
   */
  hold(selection: JobSelection, terms?: HoldTerms, changed?: Changed): Promise<HoldReport>;
  /** Ends what hold() did with the same selection; jobs under another rule stay held. */
  release(selection: JobSelection, changed?: Changed): Promise<ChangeReport>;
  /** Removes jobs. Settle their recipients as `removed` in the spool first, or the reconciler adds the jobs again. */
  remove(selection: JobSelection, changed?: Changed): Promise<ChangeReport>;
  /** Requeues dead jobs for delivery. Settle their recipients as `pending` in the spool first. */
  requeue(selection: JobSelection, changed?: Changed): Promise<ChangeReport>;
  close(): Promise<void>;
}

const pageChunk = 500;
/** A search ends its page after so long. */
const searchMs = 2_000;
const cursorPattern = /^(\d{1,2})\.(\d{1,15})$/;

/** @param maxRecipients  `limits.recipients`: as many recipient groups of a message are looked for */
export function createInspector(options: {
  redis: RedisConfig;
  holds: Holds;
  log: Logger;
  maxRecipients?: number;
}): Inspector {
  const { holds, maxRecipients = 1000 } = options;
  const redis = createRedis(options.redis, "plain", options.log);
  const finder = new JobFinder(redis, holds, maxRecipients);
  const changes = new JobChanges(redis, holds, finder);

  return {
    find: (id) => finder.find(id),

    async forEach(selection, each) {
      const unknown = await finder.forEach(selection, async (jobs) => {
        await each(jobs);
        return 0;
      });
      return { unknown };
    },

    async list(filter, { limit, cursor, sort }) {
      const page = { limit, ...(cursor === undefined ? {} : { cursor }) };
      if (sort !== undefined) return sortedPage(redis, finder, filter, sort, page);
      const wanted = sections(filter);
      const start = cursor === undefined ? ["", "0", "0"] : cursorPattern.exec(cursor);
      if (start === null) throw new BadCursor("not a cursor of this list");
      let section = Number(start[1]);
      let offset = Number(start[2]);
      const matches = jobMatcher(filter, Date.now());
      const untilMs = Date.now() + searchMs;
      const rows: QueueRow[] = [];
      for (; section < wanted.length; section++, offset = 0) {
        const [queue, status] = wanted[section] ?? ["delivery", "waiting"];
        for (;;) {
          const places = await pageOfJobs(redis, queue, status, offset, pageChunk);
          if (places.length === 0) break;
          const jobs = new Map((await finder.read(places)).map((job) => [jobIdOf(job), job]));
          for (const { jobId } of places) {
            offset++;
            const job = jobs.get(jobId);
            if (job === undefined || !matches(job)) continue;
            rows.push(rowOf(job));
            if (rows.length >= limit) return { rows, next: `${section}.${offset}` };
          }
          if (Date.now() > untilMs) return { rows, next: `${section}.${offset}` };
        }
      }
      return { rows, next: null };
    },

    counts: () => countJobs(redis),

    retry: (selection, changed) => changes.retry(selection, changed),
    hold: (selection, terms = {}, changed) => changes.hold(selection, terms, changed),
    release: (selection, changed) => changes.release(selection, changed),
    remove: (selection, changed) => changes.remove(selection, changed),
    requeue: (selection, changed) => changes.requeue(selection, changed),

    async close() {
      redis.disconnect();
    },
  };
}
