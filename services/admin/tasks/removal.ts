/**
 * Removes messages and requeues dead ones. The spool is changed first, then the queues: in the other order a crash in
 * between would let the reconciler bring removed messages back.
 */
import type { Config } from "../../../shared/config/schema.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import { wantsReport } from "../../../shared/mail/notify.ts";
import { parseDeliveryJobId } from "../../../shared/queue/contract/contract.ts";
import type { ChangeOptions, ChangeReport, JobSelection } from "../../../shared/queue/operator/inspector.ts";
import { type InspectedJob, jobIdOf } from "../../../shared/queue/operator/rows.ts";
import { compileReportPolicy } from "../../../shared/routing/report-policy.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import { allRecipientsSettled, type RecipientState } from "../../../shared/spool/recipient-state.ts";
import { type Settlement, SpoolCorrupt, type StoredMessage } from "../../../shared/spool/spool.ts";
import type { TaskDeps } from "./task-deps.ts";

/** Changes by id ask Redis for each job: several calls at a time are quicker than one. */
const slices = 8;
const maxSkipped = 1000;

export type RemoveReport = ChangeReport & { underWay: string[] };

/** @param notify  the senders get a delivery status notification */
export async function removeMessages(
  deps: TaskDeps,
  selection: JobSelection,
  notify: boolean,
  options: ChangeOptions = {},
): Promise<RemoveReport> {
  if (options.dryRun) return { ...(await deps.inspector.remove(selection, options)), underWay: [] };
  const skipped = new Map<string, string>();
  const chosen = new Set<string>();
  const { unknown } = await collect(deps, selection, options, async (jobs) => {
    const able = jobs.filter((job) => {
      // The attempt in progress may succeed, and the notification would then be false.
      if (!notify || job.status !== "active") return true;
      skipped.set(jobIdOf(job), "is being delivered: whether to notify its sender is not known yet");
      return false;
    });
    await settleRemoved(deps, able, notify);
    for (const job of able) chosen.add(jobIdOf(job));
  });
  const report = await inSlices([...chosen], options, (ids, each) => deps.inspector.remove({ ids }, each));
  const underWay = report.skipped.map(({ id }) => id);
  if (underWay.length > 0)
    options.changed?.([...new Set(underWay.map((id) => parseDeliveryJobId(id)?.id ?? id))]);
  for (const id of report.unknown) skipped.set(id, "left the queue meanwhile");
  options.signal?.throwIfAborted();
  return {
    matched: chosen.size + skipped.size - report.unknown.length,
    changed: report.changed + underWay.length,
    skipped: listSkipped(skipped),
    unknown,
    underWay,
  };
}

/** Requeues dead messages, with the schedule and lifetime of new ones. */
export async function requeueMessages(
  deps: TaskDeps,
  selection: JobSelection,
  options: ChangeOptions = {},
): Promise<ChangeReport> {
  if (options.dryRun) return deps.inspector.requeue(selection, options);
  const skipped = new Map<string, string>();
  const chosen = new Set<string>();
  const { unknown } = await collect(deps, selection, options, async (jobs) => {
    const settlements: Settlement[] = [];
    for (const job of jobs) {
      const id = jobIdOf(job);
      if (job.status !== "dead") {
        skipped.set(id, "is not dead");
        continue;
      }
      const found = await readRecord(deps, job);
      if (found === undefined) {
        skipped.set(id, "is no longer in the spool");
        continue;
      }
      const dead = recipientsOf(found, job, (state) => state?.kind === "dead");
      if (dead.length > 0) settlements.push({ id: job.job.id, recipients: dead, state: { kind: "pending" } });
      chosen.add(id);
    }
    if (settlements.length > 0) await deps.spool.settle(settlements);
  });
  // A dead job may have the id of a job in another queue, which was skipped above; the dead one was meant.
  for (const id of chosen) skipped.delete(id);
  const report = await inSlices([...chosen], options, (ids, each) => deps.inspector.requeue({ ids }, each));
  for (const id of report.unknown) skipped.set(id, "left the queue meanwhile");
  options.signal?.throwIfAborted();
  return {
    matched: chosen.size + skipped.size - report.unknown.length,
    changed: report.changed,
    skipped: listSkipped(skipped),
    unknown,
  };
}

interface MessageRecord {
  /** Absent when the envelope is damaged; only the states are known then. */
  stored: StoredMessage | undefined;
  states: ReadonlyMap<number, RecipientState>;
}

async function settleRemoved(
  { spool, producer, config, log, now }: TaskDeps,
  jobs: readonly InspectedJob[],
  notify: boolean,
): Promise<void> {
  const settlements: Settlement[] = [];
  const toNotify: StoredMessage[] = [];
  const settledMessages: MessageMeta[] = [];
  for (const job of jobs) {
    const found = await readRecord({ spool }, job);
    if (found === undefined) continue;
    const { stored, states } = found;
    const id = job.job.id;
    const wanted = recipientsOf(found, job, (state) => state === undefined || isRemovable(state));
    const notified =
      notify && stored !== undefined && job.status !== "dead" ? notifiable(stored.meta, config, wanted) : [];
    const unnotified = wanted.filter((index) => !notified.includes(index));
    if (unnotified.length > 0) settlements.push({ id, recipients: unnotified, state: { kind: "removed" } });
    if (notified.length > 0 && stored !== undefined) {
      settlements.push({
        id,
        recipients: notified,
        state: { kind: "failed", diagnosis: removedDiagnosis(now()) },
      });
      toNotify.push(stored);
    } else if (stored !== undefined && wanted.length > 0) {
      const { meta } = stored;
      if (allRecipientsSettled(states, meta.envelope.recipients.length, wanted)) settledMessages.push(meta);
    }
  }
  if (settlements.length > 0) await spool.settle(settlements);
  for (const meta of settledMessages) {
    logEvent(log, {
      event: "message.settled",
      id: meta.id,
      removed: true,
      delayMs: now() - meta.receivedAtMs,
    });
  }
  for (const { meta, locator } of toNotify) {
    await producer.addBounce({ version: 1, kind: "failed", id: meta.id, locator }, config.dsn.wave);
  }
}

/** Recipients whose failure is reported to the sender. */
function notifiable(meta: MessageMeta, config: Config, recipients: number[]): number[] {
  if (compileReportPolicy(config).whyWithheld(meta, "FAILURE") !== undefined) return [];
  return recipients.filter((index) => wantsReport(meta.envelope, index, "FAILURE"));
}

function removedDiagnosis(nowMs: number): Diagnosis {
  return {
    status: "5.7.0",
    class: "local",
    reason: "The administrator of this mail system removed the message before it could be delivered",
    atMs: nowMs,
  };
}

/** @returns `undefined` when the spool no longer has the message, and nothing needs to be settled */
async function readRecord(
  { spool }: Pick<TaskDeps, "spool">,
  { job }: InspectedJob,
): Promise<MessageRecord | undefined> {
  const states = await spool.states(job.id, true);
  try {
    const meta = await spool.readMeta(job.id, job.locator);
    return meta && { stored: { meta, locator: job.locator }, states };
  } catch (error) {
    if (!(error instanceof SpoolCorrupt)) throw error;
    return { stored: undefined, states };
  }
}

/** The indexes of the job's recipients whose state matches. */
function recipientsOf(
  { stored, states }: MessageRecord,
  { job }: InspectedJob,
  matches: (state: RecipientState | undefined) => boolean,
): number[] {
  const group = stored === undefined ? [...states.keys()] : (stored.meta.parts[job.part] ?? []);
  return group.filter((index) => matches(states.get(index)));
}

/** A `failed` recipient stays as it is: the notification to its sender is pending. */
function isRemovable({ kind }: RecipientState): boolean {
  return kind === "pending" || kind === "dead";
}

/** Settles the selected jobs chunk by chunk, until the signal. What is settled then must still be changed in the queues. */
async function collect(
  { inspector }: TaskDeps,
  selection: JobSelection,
  { signal }: ChangeOptions,
  settle: (jobs: InspectedJob[]) => Promise<void>,
): Promise<{ unknown: string[] }> {
  try {
    return await inspector.forEach(selection, async (jobs) => {
      signal?.throwIfAborted();
      await settle(jobs);
    });
  } catch (error) {
    if (signal?.aborted) return { unknown: [] };
    throw error;
  }
}

/** Makes several calls at once and adds their reports up. */
async function inSlices(
  ids: readonly string[],
  { changed, progress }: ChangeOptions,
  change: (ids: string[], options: ChangeOptions) => Promise<ChangeReport>,
): Promise<ChangeReport> {
  const size = Math.max(100, Math.ceil(ids.length / slices));
  const reports: ChangeReport[] = [];
  const calls: Promise<void>[] = [];
  for (let start = 0; start < ids.length; start += size) {
    const index = reports.push(emptyReport()) - 1;
    const keep = (report: ChangeReport): void => {
      reports[index] = report;
      progress?.(sumOf(reports));
    };
    const options = { ...(changed === undefined ? {} : { changed }), progress: keep };
    calls.push(change(ids.slice(start, start + size), options).then(keep));
  }
  await Promise.all(calls);
  return sumOf(reports);
}

function emptyReport(): ChangeReport {
  return { matched: 0, changed: 0, skipped: [], unknown: [] };
}

function sumOf(reports: readonly ChangeReport[]): ChangeReport {
  const sum = emptyReport();
  for (const report of reports) {
    sum.matched += report.matched;
    sum.changed += report.changed;
    sum.skipped.push(...report.skipped);
    sum.unknown.push(...report.unknown);
  }
  return sum;
}

function listSkipped(skipped: ReadonlyMap<string, string>): ChangeReport["skipped"] {
  return [...skipped].slice(0, maxSkipped).map(([id, reason]) => ({ id, reason }));
}
