/** Makes the notification that a bounce job asks for, and stores it so that it is made once. The spool and the queues are its caller's. */

import type { Recipient } from "../../shared/mail/envelope.ts";
import { isReturnable, wantsReport } from "../../shared/mail/notify.ts";
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import { deadUnreadableBounce } from "../../shared/queue/contract/dead-job.ts";
import type { BounceNext, BounceTask } from "../../shared/queue/contract/queue.ts";
import { allRecipientsSettled, type RecipientState } from "../../shared/spool/recipient-state.ts";
import { type Settlement, SpoolCorrupt } from "../../shared/spool/spool.ts";
import { deadJobs } from "./dead.ts";
import type { DsnRecipient, RecipientReport } from "./dsn.ts";
import { inBatches, type Owed } from "./dsn-batches.ts";
import { type NotifierDependencies, type Original, sendNotification } from "./notification.ts";

/** @returns the handler of one bounce job; it throws when the spool or Redis fails, and the job is then repeated */
export function createNotifier(deps: NotifierDependencies): (task: BounceTask) => Promise<BounceNext> {
  const { log, spool } = deps;
  return async ({ job }) => {
    // Other processes settled them: a recipient that was reported, or delivered meanwhile, must not be reported again.
    const states = await spool.states(job.id, true);
    const failed = recipientsWhere(states, (state) => state.kind === "failed");
    const late = recipientsWhere(states, (state) => state.kind === "pending" && state.delay !== undefined);
    if (job.kind === "failed" && failed.length === 0) return done;
    if (job.kind === "delayed" && late.length === 0) return done;
    try {
      const found = await spool.read(job.id, job.locator);
      if (found === undefined) {
        log.warn({ id: job.id, kind: job.kind }, "nothing to notify about: the spool has no such message");
        return done;
      }
      const original = { ...found, states, job };
      if (job.kind === "failed") await reportFailures(deps, original, failed);
      else if (job.kind === "delayed") await reportDelays(deps, original, late);
      else await reportSuccesses(deps, original, job.kind, job.recipients);
    } catch (error) {
      if (!(error instanceof SpoolCorrupt)) throw error;
      await moveUnreadableToDead(deps, job, states, error);
    }
    return done;
  };
}

const done: BounceNext = { kind: "done" };

/**
 * One notification for all recipients that failed so far, or several where they are too many for one. Its record in the spool settles them: both happen or
 * neither, so that whatever crashes, every failure is reported, and once. Enqueueing comes after; when that is lost
 * the keeper finds the notification in the spool, as any other message.
 */
async function reportFailures(
  deps: NotifierDependencies,
  original: Original,
  failed: number[],
): Promise<void> {
  const { meta, states } = original;
  const { envelope } = meta;
  if (!isReturnable(envelope.reversePath)) {
    await moveToDead(
      deps,
      original,
      failed,
      "its sender cannot be told: no address that mail could be returned to",
    );
    return;
  }
  const owed: Owed[] = [];
  for (const index of failed) {
    const state = states.get(index);
    const recipient = envelope.recipients[index];
    if (state?.kind !== "failed" || recipient === undefined || !wantsReport(envelope, index, "FAILURE"))
      continue;
    owed.push({ index, recipient: dsnRecipient(recipient, state.diagnosis) });
  }
  await tell(deps, original, "failed", owed, { id: meta.id, recipients: failed, state: { kind: "bounced" } });
  logIfSettled(deps, original, failed);
}

/** One warning for all recipients that are late and whose sender was not told yet; its record notes that they were. */
async function reportDelays(deps: NotifierDependencies, original: Original, late: number[]): Promise<void> {
  const { meta, states } = original;
  const owed: Owed[] = [];
  for (const index of late) {
    const state = states.get(index);
    const recipient = meta.envelope.recipients[index];
    if (state?.kind !== "pending" || state.delay === undefined) continue;
    if (recipient === undefined || !wantsReport(meta.envelope, index, "DELAY")) continue;
    const { diagnosis, willRetryUntilMs } = state.delay;
    owed.push({ index, recipient: dsnRecipient(recipient, { ...diagnosis, willRetryUntilMs }) });
  }
  await tell(deps, original, "delayed", isReturnable(meta.envelope.reversePath) ? owed : [], {
    id: meta.id,
    recipients: late,
    state: { kind: "pending", warned: true },
  });
}

/** @param settlement  of who is owed and of who did not want to hear; each notification settles its own */
async function tell(
  deps: NotifierDependencies,
  original: Original,
  kind: "failed" | "delayed",
  owed: Owed[],
  settlement: Settlement,
): Promise<void> {
  const told = new Set(owed.map(({ index }) => index));
  const untold = settlement.recipients.filter((index) => !told.has(index));
  if (untold.length > 0) await deps.spool.settle([{ ...settlement, recipients: untold }]);
  for (const batch of inBatches(owed)) {
    const recipients = batch.map(({ index }) => index);
    const news = batch.map(({ recipient }) => recipient);
    await sendNotification(deps, original, kind, news, { ...settlement, recipients });
  }
}

/** Settles nothing; a crash right after the notification is stored can repeat it, which does no harm. */
async function reportSuccesses(
  deps: NotifierDependencies,
  original: Original,
  kind: SuccessJob["kind"],
  accepted: SuccessJob["recipients"],
): Promise<void> {
  const { envelope } = original.meta;
  if (!isReturnable(envelope.reversePath)) return;
  const news: Owed[] = [];
  for (const { recipient: index, reply, remote, atMs } of accepted) {
    const recipient = envelope.recipients[index];
    if (recipient === undefined || !wantsReport(envelope, index, "SUCCESS")) continue;
    const status = reply.enhanced ?? "2.0.0";
    const report = { status, reason: "accepted", reply, remote, atMs } as RecipientReport;
    news.push({ index, recipient: dsnRecipient(recipient, report) });
  }
  for (const batch of inBatches(news)) {
    await sendNotification(
      deps,
      original,
      kind,
      batch.map(({ recipient }) => recipient),
    );
  }
}

type SuccessJob = Extract<BounceJob, { recipients: unknown }>;

/** Nothing can be said to anybody: kept for the operators. */
async function moveToDead(
  deps: NotifierDependencies,
  original: Original,
  failed: number[],
  reason: string,
): Promise<void> {
  const atMs = deps.now();
  const settlements: Settlement[] = [];
  for (const index of failed) {
    const state = original.states.get(index);
    if (state?.kind !== "failed") continue;
    settlements.push({
      id: original.meta.id,
      recipients: [index],
      state: { kind: "dead", diagnosis: state.diagnosis, atMs },
    });
  }
  await deps.spool.settle(settlements);
  const stored = { meta: original.meta, locator: original.job.locator };
  for (const job of deadJobs(stored, settlements, reason, deps.summarizeRoute)) await deps.addDead(job);
  deps.metrics.dead(settlements.length);
  deps.log.warn({
    event: "message.dead",
    id: original.meta.id,
    from: original.meta.envelope.reversePath,
    reason,
  });
}

async function moveUnreadableToDead(
  deps: NotifierDependencies,
  job: BounceJob,
  states: ReadonlyMap<number, RecipientState>,
  error: SpoolCorrupt,
): Promise<void> {
  const reason = `the spool's record is damaged: ${error.message}`;
  deps.log.error({ event: "message.dead", id: job.id, err: error, reason });
  if (job.kind !== "failed") return;
  const atMs = deps.now();
  const settlements = [...states].flatMap(([index, state]): Settlement[] =>
    state.kind === "failed"
      ? [{ id: job.id, recipients: [index], state: { kind: "dead", diagnosis: state.diagnosis, atMs } }]
      : [],
  );
  await deps.spool.settle(settlements);
  deps.metrics.dead(settlements.length);
  await deps.addDead(deadUnreadableBounce(job, reason, atMs));
}

function logIfSettled(deps: NotifierDependencies, { meta, states }: Original, bounced: number[]): void {
  if (!allRecipientsSettled(states, meta.envelope.recipients.length, bounced)) return;
  deps.log.info({ event: "message.settled", id: meta.id, delayMs: deps.now() - meta.receivedAtMs });
}

function dsnRecipient({ address, orcpt }: Recipient, report: RecipientReport): DsnRecipient {
  return { address, ...(orcpt === undefined ? {} : { orcpt }), report };
}

function recipientsWhere(
  states: ReadonlyMap<number, RecipientState>,
  matches: (state: RecipientState) => boolean,
): number[] {
  return [...states].filter(([, state]) => matches(state)).map(([index]) => index);
}
