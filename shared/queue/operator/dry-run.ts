/** Counts what a change would do, over the index of queued mail: no job is read, and other requests are answered meanwhile. */
import { setImmediate as yieldToOthers } from "node:timers/promises";
import type { Holdable, HoldRule } from "../holds/rules.ts";
import type { ChangeReport } from "./change-report.ts";
import { holdableOf } from "./index-matcher.ts";
import type { IndexedJob } from "./mail-index.ts";
import type { InspectedJob } from "./rows.ts";

/** What the refusal of a change looks at, of a job that was read or of one in the index. */
export type Candidate = Pick<InspectedJob, "status" | "hold"> & { job: Holdable };
/** Why a job is skipped; `undefined`: it is not. */
export type Refusal = (job: Candidate) => string | undefined;

/** Jobs in the index that a filter matches. */
export interface IndexedSelection {
  jobs: Iterable<IndexedJob>;
  matches(job: IndexedJob): boolean;
}

/** So many jobs take some milliseconds. */
const chunk = 2_000;
/** Of a report. */
export const maxSkipped = 1_000;

/** @throws the reason of the signal */
export async function countByIndex(
  { jobs, matches }: IndexedSelection,
  refuse: Refusal,
  holdOf: (job: Holdable) => HoldRule | undefined,
  signal?: AbortSignal,
): Promise<ChangeReport> {
  const report: ChangeReport = { matched: 0, changed: 0, skipped: [], unknown: [] };
  let looked = 0;
  for (const indexed of jobs) {
    if (++looked % chunk === 0) {
      await yieldToOthers();
      signal?.throwIfAborted();
    }
    if (!matches(indexed)) continue;
    const { status } = indexed;
    const job = holdableOf(indexed);
    const hold = status === "held" ? holdOf(job) : undefined;
    const reason = refuse({ status, job, ...(hold === undefined ? {} : { hold }) });
    report.matched++;
    if (reason === undefined) report.changed++;
    else if (report.skipped.length < maxSkipped) report.skipped.push({ id: indexed.id, reason });
  }
  return report;
}
