/** Changes the jobs that an operator selected, and reports what came of it. It owns nothing; connections are the caller's. */
import { forgetDeadDestinations } from "../../limits/cluster-dead-destinations.ts";
import { byShard, type Shard } from "../../shards/shard.ts";
import type { ShardConnections } from "../../shards/shard-connections.ts";
import { type JobStatus, type ListedQueue, listedQueues } from "../bullmq/job-places.ts";
import { addJobs, holdJobs, makeDue, releaseJobs, removeJobs } from "../bullmq/jobs.ts";
import { requeuedJob } from "../contract/dead-job.ts";
import { type HoldRule, holdRuleId } from "../holds/rules.ts";
import type { Holds } from "../holds/store.ts";
import {
  type ChangeOptions,
  type ChangeReport,
  type HoldReport,
  HoldStands,
  type HoldTerms,
} from "./change-report.ts";
import { type Candidate, countByIndex, type IndexedSelection, maxSkipped, type Refusal } from "./dry-run.ts";
import type { IndexedJob } from "./mail-index.ts";
import { type NewRoute, rerouteJobs } from "./reroute.ts";
import { type InspectedJob, type JobFilter, jobIdOf } from "./rows.ts";
import type { JobFinder, JobSelection } from "./selection.ts";

/** The jobs in the index that a filter matches; `undefined` while the index does not have all. */
export type FindIndexed = (filter: JobFilter) => Promise<IndexedSelection | undefined>;

export class JobChanges {
  readonly #connections: Pick<ShardConnections, "global" | "ofId">;
  readonly #holds: Holds;
  readonly #finder: JobFinder;
  readonly #indexed: FindIndexed;

  /** @param indexed  for dry runs; without an index they read the jobs */
  constructor(
    connections: Pick<ShardConnections, "global" | "ofId">,
    holds: Holds,
    finder: JobFinder,
    indexed: FindIndexed = async () => undefined,
  ) {
    this.#connections = connections;
    this.#holds = holds;
    this.#finder = finder;
    this.#indexed = indexed;
  }

  async retry(selection: JobSelection, options: ChangeOptions = {}): Promise<ChangeReport> {
    // "Now" means a real attempt, also at a destination that is remembered as dead.
    if (!options.dryRun) await forgetDeadDestinations(this.#connections.global);
    return this.#change(
      selection,
      whyNotRetried,
      async (shard, queue, jobs) => allOf(await makeDue(shard, queue, jobs.map(jobIdOf), Date.now())),
      options,
    );
  }

  /** @throws HoldStands */
  async hold(selection: JobSelection, terms: HoldTerms, options: ChangeOptions = {}): Promise<HoldReport> {
    const rule = ruleFor(selection);
    const standing = rule && this.#holds.find(rule);
    if (standing !== undefined && terms.replace === false) throw new HoldStands(standing);
    if (rule !== undefined && !options.dryRun) await this.#holds.add([holdRuleOf(rule, terms, standing)]);
    const ruleOfJob = (job: Candidate) => ({ kind: "message" as const, value: jobIdOf(job) });
    const refuse = (job: Candidate): string | undefined => {
      const own =
        rule === undefined && terms.replace === false ? this.#holds.find(ruleOfJob(job)) : undefined;
      return own === undefined ? whyNotHeld(job) : `is held already${own.reason && `: ${own.reason}`}`;
    };
    const act = async (shard: Shard, queue: ListedQueue, jobs: InspectedJob[]): Promise<Done> => {
      if (rule === undefined) {
        const own = jobs.map(ruleOfJob);
        await this.#holds.add(own.map((each) => holdRuleOf(each, terms, this.#holds.find(each))));
      }
      const idle = jobs.filter(({ status }) => status === "waiting" || status === "deferred").map(jobIdOf);
      const left = await holdJobs(shard, queue, idle, Date.now());
      // Active jobs count as held: the rule holds them when their workers defer them.
      return { left, changed: left + jobs.length - idle.length, skipped: [] };
    };
    const report = await this.#change(selection, refuse, act, options, "held");
    return { ...report, rule: rule === undefined ? null : holdRuleId(rule) };
  }

  async release(selection: JobSelection, options: ChangeOptions = {}): Promise<ChangeReport> {
    const rule = options.dryRun ? undefined : ruleFor(selection);
    if (rule?.kind === "all") await this.#holds.remove(this.#holds.list().map(holdRuleId));
    else if (rule !== undefined) await this.#holds.remove([holdRuleId(rule)]);
    return this.#change(
      selection,
      ({ status, job }) => (status === "held" || this.#holds.match(job) ? undefined : "is not held"),
      async (shard, queue, jobs) => {
        const named = jobs.flatMap((job) => [jobIdOf(job), job.job.id]);
        await this.#holds.remove(named.map((value) => holdRuleId({ kind: "message", value })));
        const free: InspectedJob[] = [];
        const skipped: ChangeReport["skipped"] = [];
        for (const job of jobs) {
          const rule = this.#holds.match(job.job);
          if (rule === undefined) free.push(job);
          else skipped.push({ id: jobIdOf(job), reason: `is still held by ${holdRuleId(rule)}` });
        }
        const held = free.filter(({ status }) => status === "held").map(jobIdOf);
        const left = await releaseJobs(shard, queue, held, Date.now());
        // The others were under a rule, but not held yet.
        return { left, changed: left + free.length - held.length, skipped };
      },
      options,
    );
  }

  /** @param routesOf  records the new next hops, and returns the routes of the jobs that have one, by job id */
  async reroute(
    selection: JobSelection,
    routesOf: (jobs: InspectedJob[]) => Promise<ReadonlyMap<string, NewRoute>>,
    options: ChangeOptions = {},
  ): Promise<ChangeReport & { underWay: string[] }> {
    // As for a retry: the attempt is to be a real one.
    if (!options.dryRun) await forgetDeadDestinations(this.#connections.global);
    const underWay: string[] = [];
    const report = await this.#change(
      selection,
      ({ status }) => (status === "dead" ? "is dead: put it back instead" : undefined),
      async (shard, queue, jobs) => {
        const routes = await routesOf(jobs);
        const { rerouted, left } = await rerouteJobs(
          shard,
          queue,
          routes,
          (job) => this.#holds.match(job),
          Date.now(),
        );
        underWay.push(...left);
        const unroutable = jobs.filter((job) => !routes.has(jobIdOf(job))).map(jobIdOf);
        const skipped = unroutable.map((id) => ({ id, reason: "cannot be read in the spool" }));
        const statusOf = new Map(jobs.map((job) => [jobIdOf(job), job.status]));
        const moved = rerouted.filter(({ jobId, hold }) => {
          const status = statusOf.get(jobId);
          return status === "deferred" || (status === "held") !== hold;
        });
        return { left: moved.length, changed: routes.size, skipped };
      },
      options,
    );
    return { ...report, underWay };
  }

  remove(selection: JobSelection, options: ChangeOptions = {}): Promise<ChangeReport> {
    return this.#change(
      selection,
      ({ status }) => (status === "active" ? "is being delivered" : undefined),
      async (shard, queue, jobs) => {
        const ids = jobs.map(jobIdOf);
        const removed = await removeJobs(shard, queue, ids);
        await this.#holds.remove(ids.map((value) => holdRuleId({ kind: "message", value })));
        return allOf(removed);
      },
      options,
    );
  }

  requeue(selection: JobSelection, options: ChangeOptions = {}): Promise<ChangeReport> {
    return this.#change(
      selection,
      ({ status }) => (status === "dead" ? undefined : "is not dead"),
      async (shard, _, jobs) => {
        const nowMs = Date.now();
        const requeued = jobs.map((job) => ({ jobId: jobIdOf(job), payload: requeuedJob(job, nowMs) }));
        await addJobs(shard, "delivery", requeued);
        return allOf(await removeJobs(shard, "dead", jobs.map(jobIdOf)));
      },
      options,
    );
  }

  /**
   * @param act     changes jobs of one queue of a shard
   * @param skip    a status that a filter does not reach: the one that `act` gives the jobs
   */
  async #change(
    selection: JobSelection,
    refuse: Refusal,
    act: (shard: Shard, queue: ListedQueue, jobs: InspectedJob[]) => Promise<Done>,
    { changed, progress, signal, dryRun = false }: ChangeOptions,
    skip?: JobStatus,
  ): Promise<ChangeReport> {
    if (dryRun && "filter" in selection) {
      const found = await this.#indexed(selection.filter);
      if (found !== undefined) {
        const matches = (job: IndexedJob) => job.status !== skip && found.matches(job);
        return countByIndex({ ...found, matches }, refuse, (job) => this.#holds.match(job), signal);
      }
    }
    const report: ChangeReport = { matched: 0, changed: 0, skipped: [], unknown: [] };
    const addSkipped = (skipped: ChangeReport["skipped"]): void => {
      report.skipped.push(...skipped.slice(0, maxSkipped - report.skipped.length));
    };
    const met = new MetJobs();
    const actOnChunk = async (jobs: InspectedJob[]): Promise<number> => {
      signal?.throwIfAborted();
      let left = 0;
      for (const queue of listedQueues) {
        const able: InspectedJob[] = [];
        const skippedBefore = new Set<string>();
        for (const job of jobs.filter((each) => each.queue === queue)) {
          const reason = refuse(job);
          const before = met.meet(jobIdOf(job), reason === undefined);
          if (before === undefined) report.matched++;
          if (before === "changed") continue;
          if (reason === undefined) {
            able.push(job);
            if (before === "skipped") skippedBefore.add(jobIdOf(job));
          } else if (before === undefined) addSkipped([{ id: jobIdOf(job), reason }]);
        }
        if (skippedBefore.size > 0)
          report.skipped = report.skipped.filter(({ id }) => !skippedBefore.has(id));
        const ofId = { of: (id: string) => this.#connections.ofId(id) };
        for (const [shard, some] of byShard(ofId, able, ({ job }) => job.id)) {
          const done = dryRun ? wouldChange(some) : await act(shard, queue, some);
          left += done.left;
          report.changed += done.changed;
          addSkipped(done.skipped);
          if (done.changed > 0 && !dryRun) changed?.(messagesOf(some, done.skipped));
        }
      }
      progress?.(report);
      return left;
    };
    report.unknown = await this.#finder.forEach(selection, actOnChunk, skip);
    return report;
  }
}

/**
 * The jobs that a change has met. One may go on to another status before that is read, and is then met again: a message whose
 * retry fails at once must not be retried twice.
 */
class MetJobs {
  readonly #met = new Map<string, "changed" | "skipped">();

  /** @returns what became of the job when it was met before */
  meet(id: string, isChanged: boolean): "changed" | "skipped" | undefined {
    const before = this.#met.get(id);
    if (before !== "changed") this.#met.set(id, isChanged ? "changed" : "skipped");
    return before;
  }
}

/** What a change did to some jobs. */
interface Done {
  /** How many left their status. */
  left: number;
  changed: number;
  skipped: ChangeReport["skipped"];
}

/** The queue ids of messages, each once. A job that left its queue meanwhile may be among them. */
function messagesOf(jobs: readonly InspectedJob[], skipped: ChangeReport["skipped"]): string[] {
  const left = new Set(skipped.map(({ id }) => id));
  return [...new Set(jobs.filter((job) => !left.has(jobIdOf(job))).map(({ job }) => job.id))];
}

/** Every job that changed left its status. */
function allOf(changed: number): Done {
  return { left: changed, changed, skipped: [] };
}

function wouldChange(jobs: readonly InspectedJob[]): Done {
  return { left: 0, changed: jobs.length, skipped: [] };
}

function whyNotRetried({ status, hold }: Candidate): string | undefined {
  switch (status) {
    case "deferred":
      return undefined;
    case "waiting":
      return "waits for a worker already";
    case "active":
      return "is being delivered";
    case "held":
      return hold === undefined
        ? "is held: release it first"
        : `is held by ${holdRuleId(hold)}: release it first`;
    case "dead":
      return "is dead: put it back instead";
  }
}

/** The rule to store: what is given, and for the rest what stands. */
export function holdRuleOf(
  rule: Pick<HoldRule, "kind" | "value">,
  { reason, untilMs, by }: HoldTerms,
  standing: HoldRule | undefined,
): Omit<HoldRule, "createdAtMs"> {
  const until = untilMs === undefined ? standing?.untilMs : (untilMs ?? undefined);
  const holder = by ?? standing?.by;
  return {
    ...rule,
    reason: reason ?? standing?.reason ?? "",
    ...(until === undefined ? {} : { untilMs: until }),
    ...(holder === undefined ? {} : { by: holder }),
  };
}

function whyNotHeld({ status }: Candidate): string | undefined {
  return status === "dead" ? "is dead: it is not delivered" : undefined;
}

/** The rule that covers the same mail as a selection, later mail included; `undefined` where no single rule does. */
export function ruleFor(selection: JobSelection): Pick<HoldRule, "kind" | "value"> | undefined {
  if ("ids" in selection) return undefined;
  const given = Object.entries(selection.filter).filter(([, value]) => value !== undefined);
  if (given.length === 0) return { kind: "all", value: "" };
  const [only] = given;
  if (given.length > 1 || only === undefined) return undefined;
  const [key, value] = only;
  if (key === "from") return { kind: "sender", value: String(value) };
  const domain = key === "to" ? /^\*@((?:\*\.)?[^*@]+)$/.exec(String(value))?.[1] : undefined;
  return domain === undefined ? undefined : { kind: "destination", value: domain.toLowerCase() };
}
