/** What operators do to the jobs that they chose, and what came of it. It owns nothing; the connection is the caller's. */

import { voidSilences } from "../../limits/cluster-scripts.ts";
import { voidSilencesKey } from "../../limits/keys.ts";
import type { RedisConnection } from "../../runtime/redis.ts";
import { heldDueMs, queueBase } from "../bullmq/keys.ts";
import { addJobs, removeJobs } from "../bullmq/scripts.ts";
import { requeuedJob } from "../contract/dead-job.ts";
import { jobName, jobOptions } from "../contract/delivery-job.ts";
import { type HoldRule, holdRuleId } from "../holds/rules.ts";
import type { Holds } from "../holds/store.ts";
import { moveJobs } from "./hold-enforcement.ts";
import { type ListedQueue, listedQueues } from "./jobs.ts";
import { type InspectedJob, type JobStatus, jobIdOf } from "./rows.ts";
import type { JobFinder, JobSelection } from "./selection.ts";

/** What became of a change. */
export interface ChangeReport {
  /** Jobs that were named or that match. */
  matched: number;
  changed: number;
  /** The first thousand at most. */
  skipped: { id: string; reason: string }[];
  /** Ids that nothing in the queues has. */
  unknown: string[];
}

export interface HoldReport extends ChangeReport {
  /** The id of the rule that also holds what comes later; null when only the jobs that were there are held. */
  rule: string | null;
}

/** For people, and epoch milliseconds after which a hold ends by itself. */
export interface HoldTerms {
  reason?: string;
  untilMs?: number;
}

const maxSkipped = 1000;
/** Longer than any silence is remembered. */
const silencesVoidMs = 7 * 86_400_000;

export class JobChanges {
  readonly #redis: RedisConnection;
  readonly #holds: Holds;
  readonly #finder: JobFinder;

  constructor(redis: RedisConnection, holds: Holds, finder: JobFinder) {
    this.#redis = redis;
    this.#holds = holds;
    this.#finder = finder;
  }

  async retry(selection: JobSelection): Promise<ChangeReport> {
    // Who says "now" wants a real attempt, also where nobody answered lately.
    await voidSilences.run(this.#redis, [voidSilencesKey], [silencesVoidMs]);
    return this.#change(selection, whyNotRetried, (queue, jobs) =>
      moveJobs(this.#redis, queue, jobs.map(jobIdOf), Date.now(), false),
    );
  }

  async hold(selection: JobSelection, { reason = "", untilMs }: HoldTerms): Promise<HoldReport> {
    const terms = { reason, ...(untilMs === undefined ? {} : { untilMs }) };
    const rule = ruleFor(selection);
    if (rule !== undefined) await this.#holds.add([{ ...rule, ...terms }]);
    const park = async (queue: ListedQueue, jobs: InspectedJob[]): Promise<Done> => {
      if (rule === undefined) {
        await this.#holds.add(jobs.map((job) => ({ kind: "message", value: jobIdOf(job), ...terms })));
      }
      const idle = jobs.filter(({ status }) => status === "waiting" || status === "deferred").map(jobIdOf);
      const left = await moveJobs(this.#redis, queue, idle, heldDueMs(Date.now()), true);
      // What a worker has in hand is held too: the rule parks it when it comes back.
      return { left, changed: left + jobs.length - idle.length };
    };
    const report = await this.#change(selection, whyNotHeld, park, "held");
    return { ...report, rule: rule === undefined ? null : holdRuleId(rule) };
  }

  async release(selection: JobSelection): Promise<ChangeReport> {
    const rule = ruleFor(selection);
    if (rule?.kind === "all") await this.#holds.remove(this.#holds.list().map(holdRuleId));
    else if (rule !== undefined) await this.#holds.remove([holdRuleId(rule)]);
    return this.#change(
      selection,
      ({ status, job }) => (status === "held" || this.#holds.match(job) ? undefined : "is not held"),
      async (queue, jobs) => {
        const named = jobs.flatMap((job) => [jobIdOf(job), job.job.id]);
        await this.#holds.remove(named.map((value) => holdRuleId({ kind: "message", value })));
        const free: InspectedJob[] = [];
        const skipped: ChangeReport["skipped"] = [];
        for (const job of jobs) {
          const rule = this.#holds.match(job.job);
          if (rule === undefined) free.push(job);
          else skipped.push({ id: jobIdOf(job), reason: `is still held by ${holdRuleId(rule)}` });
        }
        const parked = free.filter(({ status }) => status === "held").map(jobIdOf);
        const left = await moveJobs(this.#redis, queue, parked, Date.now(), false);
        // The others had not been parked yet; nothing parks them now.
        return { left, changed: left + free.length - parked.length, skipped };
      },
    );
  }

  remove(selection: JobSelection): Promise<ChangeReport> {
    return this.#change(
      selection,
      ({ status }) => (status === "active" ? "is being delivered" : undefined),
      async (queue, jobs) => {
        const ids = jobs.map(jobIdOf);
        const removed = Number(await removeJobs.run(this.#redis, [queueBase(queue)], ids));
        await this.#holds.remove(ids.map((value) => holdRuleId({ kind: "message", value })));
        return removed;
      },
    );
  }

  requeue(selection: JobSelection): Promise<ChangeReport> {
    return this.#change(
      selection,
      ({ status }) => (status === "dead" ? undefined : "is not dead"),
      async (_, jobs) => {
        const nowMs = Date.now();
        const flat = jobs.flatMap((job) => [jobIdOf(job), JSON.stringify(requeuedJob(job, nowMs))]);
        const keys = [queueBase("delivery"), queueBase("delivery-slow")];
        await addJobs.run(this.#redis, keys, [Date.now(), 0, jobName, jobOptions, 0, ...flat]);
        return Number(await removeJobs.run(this.#redis, [queueBase("dead")], jobs.map(jobIdOf)));
      },
    );
  }

  async #change(
    selection: JobSelection,
    refuse: (job: InspectedJob) => string | undefined,
    act: (queue: ListedQueue, jobs: InspectedJob[]) => Promise<number | Done>,
    spare?: JobStatus,
  ): Promise<ChangeReport> {
    const report: ChangeReport = { matched: 0, changed: 0, skipped: [], unknown: [] };
    const actOnChunk = async (jobs: InspectedJob[]): Promise<number> => {
      report.matched += jobs.length;
      let left = 0;
      for (const queue of listedQueues) {
        const able = jobs.filter((job) => {
          if (job.queue !== queue) return false;
          const reason = refuse(job);
          if (reason !== undefined && report.skipped.length < maxSkipped) {
            report.skipped.push({ id: jobIdOf(job), reason });
          }
          return reason === undefined;
        });
        if (able.length === 0) continue;
        const done = await act(queue, able);
        left += typeof done === "number" ? done : done.left;
        report.changed += typeof done === "number" ? done : done.changed;
        const { skipped = [] } = typeof done === "number" ? {} : done;
        report.skipped.push(...skipped.slice(0, maxSkipped - report.skipped.length));
      }
      return left;
    };
    report.unknown = await this.#finder.forEach(selection, actOnChunk, spare);
    return report;
  }
}

/** How many left their status, and how many changed, where these differ. */
interface Done {
  left: number;
  changed: number;
  skipped?: ChangeReport["skipped"];
}

function whyNotRetried({ status }: InspectedJob): string | undefined {
  switch (status) {
    case "deferred":
      return undefined;
    case "waiting":
      return "waits for a worker already";
    case "active":
      return "is being delivered";
    case "held":
      return "is held";
    case "dead":
      return "is dead: put it back instead";
  }
}

function whyNotHeld({ status }: InspectedJob): string | undefined {
  return status === "dead" ? "is dead: nobody delivers it" : undefined;
}

/** The rule that says the same as a selection, for what is there and for what will come; not every one has one. */
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
