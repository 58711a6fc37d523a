/**
 * The queues as operators see and change them: for the admin's API and `postern queue`. Made for a million jobs: pages
 * and chunks, no KEYS. Owns one connection; close() ends it.
 */
import type { Logger } from "../../runtime/log.ts";
import { createRedis, type RedisConfig } from "../../runtime/redis.ts";
import { heldFromScore, queueKey } from "../bullmq/keys.ts";
import { type QueueName, queueNames } from "../contract/contract.ts";
import type { Holds } from "../holds/store.ts";
import { type ChangeReport, type HoldReport, type HoldTerms, JobChanges } from "./changes.ts";
import { pageOf, readJobs } from "./jobs.ts";
import { type InspectedJob, type JobFilter, jobIdOf, jobMatcher, type QueueRow, rowOf } from "./rows.ts";
import { JobFinder, type JobSelection, sections } from "./selection.ts";

export type { ChangeReport } from "./changes.ts";
export type { JobSelection } from "./selection.ts";

export interface JobPage {
  rows: QueueRow[];
  /** For the next page; `null` after the last. A page may be short and yet have a next one: searching takes time. */
  next: string | null;
}

export type QueueCounts = Record<QueueName, Record<"waiting" | "active" | "deferred" | "held", number>>;

export interface Inspector {
  list(filter: JobFilter, page: { limit: number; cursor?: string }): Promise<JobPage>;
  /** The jobs that an id names: see JobSelection. Empty when there are none. */
  find(id: string): Promise<InspectedJob[]>;
  /** The selected jobs, chunk by chunk, with what must be known to settle them in the spool before a change. */
  forEach(
    selection: JobSelection,
    each: (jobs: InspectedJob[]) => Promise<void>,
  ): Promise<{ unknown: string[] }>;
  /** Jobs by queue and status, `dead` ones as waiting in the queue `dead`. */
  counts(): Promise<QueueCounts>;
  /** Deferred jobs become due now; held ones are spared. */
  retry(selection: JobSelection): Promise<ChangeReport>;
  /**
   * Parks jobs until release(). `--all`, one sender or one destination become a rule that also holds what comes later;
   * anything else is held job by job.
   */
  hold(selection: JobSelection, terms?: HoldTerms): Promise<HoldReport>;
  /** Takes back what hold() did with the same selection; what another rule still holds stays parked. */
  release(selection: JobSelection): Promise<ChangeReport>;
  /** Takes jobs out. Settle them as `removed` in the spool first, or the keeper puts them back. */
  remove(selection: JobSelection): Promise<ChangeReport>;
  /** Dead jobs are delivered again. Settle their recipients as `pending` in the spool first. */
  requeue(selection: JobSelection): Promise<ChangeReport>;
  close(): Promise<void>;
}

const pageChunk = 500;
/** A search that finds little ends its page after so long. */
const searchMs = 2_000;
const cursorPattern = /^(\d{1,2})\.(\d{1,15})$/;

/** A cursor that list() never gave out. */
export class BadCursor extends Error {
  override name = "BadCursor";
}

export function createInspector(options: { redis: RedisConfig; holds: Holds; log: Logger }): Inspector {
  const { holds } = options;
  const redis = createRedis(options.redis, "plain", options.log);
  const finder = new JobFinder(redis, holds);
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

    async list(filter, { limit, cursor }) {
      const parts = sections(filter);
      const start = cursor === undefined ? ["", "0", "0"] : cursorPattern.exec(cursor);
      if (start === null) throw new BadCursor("not a cursor of this list");
      let section = Number(start[1]);
      let offset = Number(start[2]);
      const matches = jobMatcher(filter, Date.now());
      const untilMs = Date.now() + searchMs;
      const rows: QueueRow[] = [];
      for (; section < parts.length; section++, offset = 0) {
        const [queue, status] = parts[section] ?? ["delivery", "waiting"];
        for (;;) {
          const places = await pageOf(redis, queue, status, offset, pageChunk);
          if (places.length === 0) break;
          const jobs = new Map((await readJobs(redis, places, holds)).map((job) => [jobIdOf(job), job]));
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

    async counts() {
      const pipeline = redis.pipeline();
      for (const queue of queueNames) {
        pipeline.llen(queueKey(queue, "wait"));
        pipeline.llen(queueKey(queue, "active"));
        pipeline.zcount(queueKey(queue, "delayed"), "-inf", `(${heldFromScore}`);
        pipeline.zcount(queueKey(queue, "delayed"), heldFromScore, "+inf");
      }
      const values = ((await pipeline.exec()) ?? []).map(([error, value]) => {
        if (error) throw error;
        return Number(value);
      });
      const counts = {} as QueueCounts;
      queueNames.forEach((queue, index) => {
        const [waiting = 0, active = 0, deferred = 0, held = 0] = values.slice(index * 4, index * 4 + 4);
        counts[queue] = { waiting, active, deferred, held };
      });
      return counts;
    },

    retry: (selection) => changes.retry(selection),
    hold: (selection, terms = {}) => changes.hold(selection, terms),
    release: (selection) => changes.release(selection),
    remove: (selection) => changes.remove(selection),
    requeue: (selection) => changes.requeue(selection),

    async close() {
      redis.disconnect();
    },
  };
}
