/** What is owed to people after the spool has recorded an attempt: notifications to senders, the dead queue to operators. */

import { wantsReport } from "../../shared/mail/notify.ts";
import type { DeliveryJob } from "../../shared/queue/contract/contract.ts";
import { deadAfterAttempt, deadUnreadable } from "../../shared/queue/contract/dead-job.ts";
import { expiresAtMs, groupEqual } from "../../shared/queue/contract/retry-schedule.ts";
import { enqueueSuccessReport } from "../../shared/queue/success-reports.ts";
import type { Diagnosis, Outcome } from "../../shared/smtp/diagnosis.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Settlement, SpoolCorrupt } from "../../shared/spool/spool.ts";
import type { Work, WorkerDependencies } from "./work.ts";

/** What follows from settlements that were just recorded. */
export async function afterSettling(
  deps: WorkerDependencies,
  work: Work,
  outcomes: ReadonlyMap<number, Outcome>,
  settlements: readonly Settlement[],
): Promise<void> {
  await reportRelayed(deps, work, outcomes);
  if (settlements.some(({ state }) => state.kind === "failed")) await addShared(deps, work, "failed");
  for (const { recipients, state } of settlements) {
    if (state.kind !== "dead") continue;
    const to = recipients.map((recipient) => work.meta.envelope.recipients[recipient]?.address);
    const { status, reason } = state.diagnosis;
    const from = work.meta.envelope.reversePath;
    deps.log.warn({
      event: "message.dead",
      id: work.meta.id,
      job: work.task.jobId,
      from,
      to,
      status,
      reason,
    });
    deps.metrics.dead(recipients.length);
    await addDead(deps, work, state);
  }
}

/**
 * A run before this one recorded what is owed and may have ended right there. Everything here is idempotent.
 * @param part  the job's recipients
 */
export async function repeatPendingNotifications(
  deps: WorkerDependencies,
  work: Work,
  part: readonly number[],
  states: ReadonlyMap<number, RecipientState>,
): Promise<void> {
  const own = part.map((recipient) => states.get(recipient));
  if (own.some((state) => state?.kind === "failed")) await addShared(deps, work, "failed");
  if (own.some((state) => state?.kind === "pending" && state.delay !== undefined)) {
    await addShared(deps, work, "delayed");
  }
  const dead = own.find((state) => state?.kind === "dead");
  if (dead?.kind === "dead") await addDead(deps, work, dead);
}

/**
 * One warning for each recipient, where its sender wants to hear of delays. The spool remembers
 * it, so that a Redis that forgot the job's history does not lead to a second one.
 */
export async function warnOfDelay(
  deps: WorkerDependencies,
  work: Work,
  pending: readonly { recipient: number; diagnosis: Diagnosis }[],
  states: ReadonlyMap<number, RecipientState>,
): Promise<void> {
  const { meta, sinceMs } = work;
  const late = pending.filter(({ recipient }) => {
    const state = states.get(recipient);
    const isKnown = state?.kind === "pending" && (state.delay !== undefined || state.warned === true);
    return !isKnown && wantsReport(meta.envelope, recipient, "DELAY");
  });
  if (late.length === 0) return;
  const willRetryUntilMs = expiresAtMs({ sinceMs, nullSender: false }, deps.config.queue);
  const groups = groupEqual(late.map(({ recipient, diagnosis }) => [recipient, diagnosis]));
  await deps.spool.settle(
    groups.map(({ recipients, diagnosis }) => ({
      id: meta.id,
      recipients,
      state: { kind: "pending", delay: { diagnosis, willRetryUntilMs } },
    })),
  );
  await addShared(deps, work, "delayed");
}

/** The record cannot be read at all. What the spool cannot read it does not offer to the keeper either: the dead queue keeps the trace. */
export async function moveUnreadableToDead(
  { log, metrics, producer, now }: WorkerDependencies,
  job: DeliveryJob,
  error: SpoolCorrupt,
): Promise<void> {
  const reason = `the spool's record of the message is damaged: ${error.message}`;
  log.error({ event: "message.dead", err: error, id: job.id, from: job.from, to: job.to, reason });
  metrics.dead(job.to.length);
  await producer.addDead(deadUnreadable(job, reason, now()));
}

/** RFC 3461 §5.2.2: SUCCESS was asked for, and the next server will not report it. */
async function reportRelayed(
  deps: WorkerDependencies,
  { task, meta }: Work,
  outcomes: ReadonlyMap<number, Outcome>,
): Promise<void> {
  const { envelope } = meta;
  const recipients = [];
  for (const [recipient, outcome] of outcomes) {
    if (outcome.kind !== "delivered" || outcome.dsnPassedOn) continue;
    if (!wantsReport(envelope, recipient, "SUCCESS")) continue;
    recipients.push({ recipient, reply: outcome.reply, remote: outcome.remote, atMs: deps.now() });
  }
  if (recipients.length === 0) return;
  const { id, locator } = task.job;
  await enqueueSuccessReport(deps, { version: 1, kind: "relayed", id, locator, recipients }, task.signal);
}

/** All failures of a message share a notification, and so do its delays. */
async function addShared(
  { config, producer }: WorkerDependencies,
  { task }: Work,
  kind: "failed" | "delayed",
): Promise<void> {
  const { id, locator } = task.job;
  await producer.addBounce({ version: 1, kind, id, locator }, config.dsn.wave);
}

async function addDead(
  { producer }: WorkerDependencies,
  { task }: Work,
  state: RecipientState & { kind: "dead" },
): Promise<void> {
  await producer.addDead(deadAfterAttempt(task.job, state));
}
