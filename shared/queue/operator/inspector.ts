/**
 * The operator's room: lists the queues and changes jobs, for the admin's API and `postern queue`. Made for a million
 * jobs: pages and chunks, no KEYS. Owns connections to the shards; close() ends them.
 */
import type { Logger } from "../../runtime/log.ts";
import type { RedisConfig } from "../../runtime/redis.ts";
import { KnownShards } from "../../shards/known-shards.ts";
import { ShardConnections } from "../../shards/shard-connections.ts";
import {
  countJobs,
  type ListedQueue,
  locateJobs,
  pageOfJobs,
  type QueueCounts,
} from "../bullmq/job-places.ts";
import type { HoldRule } from "../holds/rules.ts";
import type { Holds } from "../holds/store.ts";
import type { ChangeOptions, ChangeReport, HoldReport, HoldTerms } from "./change-report.ts";
import { JobChanges } from "./changes.ts";
import { countHeld } from "./held-by-rule.ts";
import { indexMatcher } from "./index-matcher.ts";
import { type IndexPage, pageOf, type Totals } from "./index-page.ts";
import { IndexRefresher, type IndexState } from "./index-refresher.ts";
import type { IndexedJob } from "./mail-index.ts";
import { perScan } from "./per-scan.ts";
import { type QueueAges, queueAges } from "./queue-ages.ts";
import type { NewRoute } from "./reroute.ts";
import type { RowSort } from "./row-order.ts";
import { type InspectedJob, type JobFilter, jobIdOf, jobMatcher, type QueueRow, rowOf } from "./rows.ts";
import { JobFinder, type JobSelection, shardSections } from "./selection.ts";
import { BadCursor, sortedPage } from "./sorted-list.ts";
import { type Grouping, groupings, type Summary, summarise } from "./summary.ts";
import { type WorstDestination, worstDestinations } from "./worst-destinations.ts";

export type { QueueCounts } from "../bullmq/job-places.ts";
export { type ChangeOptions, type ChangeReport, HoldStands, type HoldTerms } from "./change-report.ts";
export { holdRuleOf, ruleFor } from "./changes.ts";
export type { JobSelection } from "./selection.ts";
export { BadCursor, TooManyToSort } from "./sorted-list.ts";

export interface JobPage {
  rows: QueueRow[];
  /** For the next page; `null` after the last. A short page may have a next one: a search that takes long ends its page. */
  next: string | null;
  /** Of all pages, from the index; `null` while it is being built. */
  totals: Totals | null;
  /** What is in the queues altogether. */
  index: IndexState;
}

export interface PageRequest {
  limit: number;
  /** By which the jobs are listed; absent: as workers take them. */
  sort?: RowSort;
  cursor?: string;
}

export interface QueueSummary extends Summary {
  index: IndexState;
}

/** Of the mail that is to be delivered, by queue; times in epoch milliseconds. */
export type OldestByQueue = Partial<Record<ListedQueue, number>>;

/** The index of the queues is being built: at a start, with very many messages. */
export class IndexNotReady extends Error {
  override name = "IndexNotReady";
}

export interface Inspector {
  /**
   * As workers take them, or sorted; from the index, and without it by reading the queues.
   * @throws BadCursor, TooManyToSort, Error of Redis
   */
  list(filter: JobFilter, page: PageRequest): Promise<JobPage>;
  /** The matching jobs in groups, dead ones only where the filter asks for them. @throws IndexNotReady, Error of Redis */
  summary(filter: JobFilter, options: { by: Grouping; limit: number }): Promise<QueueSummary>;
  /** The destinations with the most deferred mail. @throws IndexNotReady, Error of Redis */
  worst(limit: number): Promise<{ destinations: WorstDestination[]; index: IndexState }>;
  /** The oldest message of each queue, as of the last scan; `undefined` before the first. */
  oldest(): OldestByQueue | undefined;
  /** The ages of all queued mail, as of the last scan; `undefined` before the first. */
  ages(): QueueAges | undefined;
  /** For each of these rules how many held jobs it covers; `undefined` while the index is being built. @throws Error of Redis */
  heldBy(rules: readonly HoldRule[]): Promise<number[] | undefined>;
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
  retry(selection: JobSelection, options?: ChangeOptions): Promise<ChangeReport>;
  /**
   * Holds jobs until release(). All mail, one sender or one destination become a rule that also holds later mail; any
   * other selection is held job by job. @throws HoldStands
   */
  hold(selection: JobSelection, terms?: HoldTerms, options?: ChangeOptions): Promise<HoldReport>;
  /** Ends what hold() did with the same selection; jobs under another rule stay held. */
  release(selection: JobSelection, options?: ChangeOptions): Promise<ChangeReport>;
  /**
   * Gives jobs the routes that `routesOf` says; they are due now, or held by their new next hop's holds. Record the next
   * hops in the spool first: workers follow these.
   * @returns also the jobs that workers have now
   */
  reroute(
    selection: JobSelection,
    routesOf: (jobs: InspectedJob[]) => Promise<ReadonlyMap<string, NewRoute>>,
    options?: ChangeOptions,
  ): Promise<ChangeReport & { underWay: string[] }>;
  /** Removes jobs. Settle their recipients as `removed` in the spool first, or the reconciler adds the jobs again. */
  remove(selection: JobSelection, options?: ChangeOptions): Promise<ChangeReport>;
  /** Requeues dead jobs for delivery. Settle their recipients as `pending` in the spool first. */
  requeue(selection: JobSelection, options?: ChangeOptions): Promise<ChangeReport>;
  close(): Promise<void>;
}

const pageChunk = 500;
/** A search ends its page after so long. */
const searchMs = 2_000;
const cursorPattern = /^(\d{1,3})\.(\d{1,15})$/;

/** @param maxRecipients  `limits.recipients`: as many recipient groups of a message are looked for */
export function createInspector(options: {
  redis: RedisConfig;
  holds: Holds;
  log: Logger;
  maxRecipients?: number;
}): Inspector {
  const { holds } = options;
  const connections = new ShardConnections(options.redis, "plain", options.log);
  const shards = new KnownShards(connections, options.redis.shards ?? 1, options.log);
  const finder = new JobFinder(shards, holds, () => options.maxRecipients ?? 1000);
  const refresher = new IndexRefresher(shards, options.log);
  const { index } = refresher;
  refresher.start();
  const matcherOf = (filter: JobFilter) => indexMatcher(filter, Date.now(), (job) => holds.match(job));

  const changes = new JobChanges(connections, holds, finder, async (filter) => {
    const isWhole = (await refresher.ready()) && refresher.state.skipped === 0;
    return isWhole ? { jobs: index.values(), matches: matcherOf(filter) } : undefined;
  });

  const worst = perScan((limit) => worstDestinations(index.values(), limit), refresher);
  const oldest = perScan(() => index.oldest(), refresher);
  const summaryOf = (by: Grouping, limit: number, matches: (job: IndexedJob) => boolean): Summary => {
    const firstSeen = (key: string) => index.firstSeenMs(key);
    return summarise(index.values(), { by, limit, nowMs: Date.now() }, matches, firstSeen);
  };
  // Dead mail goes nowhere: it counts where it is asked for.
  const isQueued = ({ status }: IndexedJob): boolean => status !== "dead";
  const wholeSummaries = Object.fromEntries(
    groupings.map((by) => [by, perScan((limit) => summaryOf(by, limit, isQueued), refresher)]),
  ) as Record<Grouping, (limit: number) => Summary>;

  const summaryFor = (filter: JobFilter, by: Grouping, limit: number): Summary => {
    if (Object.keys(filter).length === 0) return wholeSummaries[by](limit);
    const withDead = filter.status === "dead" || filter.queue === "dead";
    const matches = matcherOf(filter);
    return summaryOf(by, limit, (job) => (withDead || isQueued(job)) && matches(job));
  };

  /** Rows are read as the jobs are now: one that has changed since the scan is left out when it matches no more. */
  const rowsOf = async ({ jobs }: IndexPage, filter: JobFilter): Promise<QueueRow[]> => {
    const ids = jobs.map(({ id }) => id);
    const found = await finder.read(await locateJobs(shards, [...new Set(ids)]));
    const current = new Map(found.map((job) => [keyOf(job.queue, jobIdOf(job)), job]));
    const matches = jobMatcher(filter, Date.now());
    return jobs.flatMap(({ id, queue }) => {
      const job = current.get(keyOf(queue, id));
      return job !== undefined && matches(job) ? [rowOf(job)] : [];
    });
  };

  const listByScan = async (filter: JobFilter, { limit, cursor }: PageRequest): Promise<JobPage> => {
    await shards.loaded;
    const wanted = shardSections(shards.all, filter);
    const start = cursor === undefined ? ["", "0", "0"] : cursorPattern.exec(cursor);
    if (start === null) throw new BadCursor("not a cursor of this list");
    const section = Number(start[1]);
    let offset = Number(start[2]);
    const matches = jobMatcher(filter, Date.now());
    const untilMs = Date.now() + searchMs;
    const rows: QueueRow[] = [];
    const pageTo = (next: string | null): JobPage => ({ rows, next, totals: null, index: refresher.state });
    for (const [shard, queue, status] of wanted.slice(section)) {
      for (;;) {
        const places = await pageOfJobs(shard, queue, status, offset, pageChunk);
        if (places.length === 0) break;
        const jobs = new Map((await finder.read(places)).map((job) => [jobIdOf(job), job]));
        for (const { jobId } of places) {
          offset++;
          const job = jobs.get(jobId);
          if (job === undefined || !matches(job)) continue;
          rows.push(rowOf(job));
          if (rows.length >= limit) return pageTo(`${section}.${offset}`);
        }
        if (Date.now() > untilMs) return pageTo(`${section}.${offset}`);
      }
    }
    return pageTo(null);
  };

  return {
    find: (id) => finder.find(id),

    async forEach(selection, each) {
      const unknown = await finder.forEach(selection, async (jobs) => {
        await each(jobs);
        return 0;
      });
      return { unknown };
    },

    async list(filter, request) {
      const { limit, cursor, sort } = request;
      // A list that was begun without the index goes on without it.
      if (cursor !== undefined && cursorPattern.test(cursor) && sort === undefined) {
        return listByScan(filter, request);
      }
      const isReady = await refresher.ready();
      if (!isReady || refresher.state.skipped > 0) {
        if (sort === undefined) return listByScan(filter, request);
        const sorted = await sortedPage(shards, finder, filter, sort, request);
        return { ...sorted, totals: null, index: refresher.state };
      }
      const page = pageOf(index.values(), matcherOf(filter), sort ?? "queue", limit, cursor);
      if (page === undefined) throw new BadCursor("not a cursor of this list");
      const { next, totals } = page;
      return { rows: await rowsOf(page, filter), next, totals, index: refresher.state };
    },

    async summary(filter, { by, limit }) {
      if (!(await refresher.ready())) throw new IndexNotReady(describeBuilding(refresher.state));
      return { ...summaryFor(filter, by, limit), index: refresher.state };
    },

    async worst(limit) {
      if (!(await refresher.ready())) throw new IndexNotReady(describeBuilding(refresher.state));
      return { destinations: worst(limit), index: refresher.state };
    },

    oldest() {
      return refresher.state.asOfMs === undefined ? undefined : oldest();
    },

    ages: () => (refresher.state.asOfMs === undefined ? undefined : queueAges(index.values(), Date.now())),

    async heldBy(rules) {
      if (rules.length === 0) return [];
      return (await refresher.ready()) ? countHeld(index.values(), rules) : undefined;
    },

    async counts() {
      await shards.loaded;
      return countJobs(shards);
    },

    retry: (selection, options) => changes.retry(selection, options),
    hold: (selection, terms = {}, options) => changes.hold(selection, terms, options),
    release: (selection, options) => changes.release(selection, options),
    reroute: (selection, routesOf, options) => changes.reroute(selection, routesOf, options),
    remove: (selection, options) => changes.remove(selection, options),
    requeue: (selection, options) => changes.requeue(selection, options),

    async close() {
      refresher.close();
      shards.close();
      connections.disconnect();
    },
  };
}

/** A job may be dead and on its way at once. */
function keyOf(queue: ListedQueue, jobId: string): string {
  return `${queue === "dead" ? "dead " : ""}${jobId}`;
}

function describeBuilding({ indexed }: IndexState): string {
  return `the index of the queues is being built, ${indexed} messages are in it`;
}
