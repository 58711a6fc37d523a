/**
 * Takes messages out, and puts dead ones back: first the spool, which is the truth, then the queues.
 * The other way round the keeper would bring back what an operator removed.
 */

import type { MessageMeta } from "../../../shared/mail/message.ts";
import { wantsReport } from "../../../shared/mail/notify.ts";
import type { ChangeReport, JobSelection } from "../../../shared/queue/operator/inspector.ts";
import { type InspectedJob, jobIdOf } from "../../../shared/queue/operator/rows.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import { allRecipientsSettled, type RecipientState } from "../../../shared/spool/recipient-state.ts";
import { type Settlement, SpoolCorrupt, type StoredMessage } from "../../../shared/spool/spool.ts";
import type { AdminDependencies } from "./dependencies.ts";

/** Calls that take ids ask Redis for each: some at a time are quicker than one after the other. */
const slices = 8;
const maxSkipped = 1000;

export type RemoveReport = ChangeReport & { underWay: string[] };

/** @param notify  the senders get a delivery status notification */
export async function removeMessages(
  deps: AdminDependencies,
  selection: JobSelection,
  notify: boolean,
): Promise<RemoveReport> {
  const skipped = new Map<string, string>();
  const chosen = new Set<string>();
  const { unknown } = await deps.inspector.forEach(selection, async (jobs) => {
    const able = jobs.filter((job) => {
      // An attempt that ends well after the sender has read that it did not would be a lie.
      if (!notify || job.status !== "active") return true;
      skipped.set(jobIdOf(job), "is being delivered: its sender cannot be told yet what became of it");
      return false;
    });
    await settleRemoved(deps, able, notify);
    for (const job of able) chosen.add(jobIdOf(job));
  });
  const report = await inSlices([...chosen], (ids) => deps.inspector.remove({ ids }));
  const underWay = report.skipped.map(({ id }) => id);
  for (const id of report.unknown) skipped.set(id, "left the queue meanwhile");
  return {
    matched: chosen.size + skipped.size - report.unknown.length,
    changed: report.changed + underWay.length,
    skipped: listSkipped(skipped),
    unknown,
    underWay,
  };
}

/** Dead messages are delivered again, with a schedule and a time to expire as for new ones. */
export async function requeueMessages(
  deps: AdminDependencies,
  selection: JobSelection,
): Promise<ChangeReport> {
  const skipped = new Map<string, string>();
  const chosen = new Set<string>();
  const { unknown } = await deps.inspector.forEach(selection, async (jobs) => {
    const settlements: Settlement[] = [];
    for (const job of jobs) {
      const id = jobIdOf(job);
      if (job.status !== "dead") {
        skipped.set(id, "is not dead");
        continue;
      }
      const found = await readRecord(deps, job);
      if (found === undefined) {
        skipped.set(id, "is not in the spool any more");
        continue;
      }
      const dead = recipientsOf(found, job, (state) => state?.kind === "dead");
      if (dead.length > 0) settlements.push({ id: job.job.id, recipients: dead, state: { kind: "pending" } });
      chosen.add(id);
    }
    if (settlements.length > 0) await deps.spool.settle(settlements);
  });
  // A message may have a living job of the same id besides; that one is not what was meant.
  for (const id of chosen) skipped.delete(id);
  const report = await inSlices([...chosen], (ids) => deps.inspector.requeue({ ids }));
  for (const id of report.unknown) skipped.set(id, "left the queue meanwhile");
  return {
    matched: chosen.size + skipped.size - report.unknown.length,
    changed: report.changed,
    skipped: listSkipped(skipped),
    unknown,
  };
}

interface MessageRecord {
  /** Absent: the record is damaged, and only the states are known. */
  stored: StoredMessage | undefined;
  states: ReadonlyMap<number, RecipientState>;
}

async function settleRemoved(
  { spool, producer, config, log, now }: AdminDependencies,
  jobs: readonly InspectedJob[],
  notify: boolean,
): Promise<void> {
  const settlements: Settlement[] = [];
  const owed: StoredMessage[] = [];
  const settledWhole: MessageMeta[] = [];
  for (const job of jobs) {
    const found = await readRecord({ spool }, job);
    if (found === undefined) continue;
    const { stored, states } = found;
    const id = job.job.id;
    const wanted = recipientsOf(found, job, (state) => state === undefined || isRemovable(state));
    const told =
      notify && stored !== undefined && job.status !== "dead"
        ? wanted.filter((index) => wantsReport(stored.meta.envelope, index, "FAILURE"))
        : [];
    const untold = wanted.filter((index) => !told.includes(index));
    if (untold.length > 0) settlements.push({ id, recipients: untold, state: { kind: "removed" } });
    if (told.length > 0 && stored !== undefined) {
      settlements.push({
        id,
        recipients: told,
        state: { kind: "failed", diagnosis: removedDiagnosis(now()) },
      });
      owed.push(stored);
    } else if (stored !== undefined && wanted.length > 0) {
      const { meta } = stored;
      if (allRecipientsSettled(states, meta.envelope.recipients.length, wanted)) settledWhole.push(meta);
    }
  }
  if (settlements.length > 0) await spool.settle(settlements);
  for (const meta of settledWhole) {
    log.info({ event: "message.settled", id: meta.id, removed: true, delayMs: now() - meta.receivedAtMs });
  }
  for (const { meta, locator } of owed) {
    await producer.addBounce({ version: 1, kind: "failed", id: meta.id, locator }, config.dsn.wave);
  }
}

function removedDiagnosis(nowMs: number): Diagnosis {
  return {
    status: "5.7.0",
    class: "local",
    reason: "The administrator of this mail system removed the message before it could be delivered",
    atMs: nowMs,
  };
}

/** `undefined`: the spool has no such message any more, and nothing needs to be settled. */
async function readRecord(
  { spool }: Pick<AdminDependencies, "spool">,
  { job }: InspectedJob,
): Promise<MessageRecord | undefined> {
  const states = await spool.states(job.id, true);
  try {
    const found = await spool.read(job.id, job.locator);
    return found && { stored: { meta: found.meta, locator: job.locator }, states };
  } catch (error) {
    if (!(error instanceof SpoolCorrupt)) throw error;
    return { stored: undefined, states };
  }
}

/** The recipients of a job, by index, whose state is wanted. */
function recipientsOf(
  { stored, states }: MessageRecord,
  { job }: InspectedJob,
  wanted: (state: RecipientState | undefined) => boolean,
): number[] {
  const part = stored === undefined ? [...states.keys()] : (stored.meta.parts[job.part] ?? []);
  return part.filter((index) => wanted(states.get(index)));
}

/** `failed` stays: its sender is owed a notification, and gets it. */
function isRemovable({ kind }: RecipientState): boolean {
  return kind === "pending" || kind === "dead";
}

/** Several at once, and one report of all. */
async function inSlices(
  ids: readonly string[],
  change: (ids: string[]) => Promise<ChangeReport>,
): Promise<ChangeReport> {
  const size = Math.max(100, Math.ceil(ids.length / slices));
  const calls: Promise<ChangeReport>[] = [];
  for (let start = 0; start < ids.length; start += size) calls.push(change(ids.slice(start, start + size)));
  const sum: ChangeReport = { matched: 0, changed: 0, skipped: [], unknown: [] };
  for (const report of await Promise.all(calls)) {
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
