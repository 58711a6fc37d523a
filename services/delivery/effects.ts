/** What a decision about a job's recipients leads to outside the worker, as a value that publish() brings out. Pure. */
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { isForOperators, wantsReport } from "../../shared/mail/notify.ts";
import type { DeliveryJob } from "../../shared/queue/contract/contract.ts";
import { type DeadJob, deadAfterAttempt, deadUnreadable } from "../../shared/queue/contract/dead-job.ts";
import type { SharedReport } from "../../shared/queue/contract/delivery-job.ts";
import { groupEqual } from "../../shared/queue/contract/retry-schedule.ts";
import type { LogLine } from "../../shared/runtime/log.ts";
import type { Diagnosis, Outcome } from "../../shared/smtp/diagnosis.ts";
import type { SmtpReply } from "../../shared/smtp/status.ts";
import type { AttemptFacts } from "../../shared/smtp-client/smtp-client.ts";
import { isReportPending, type RecipientState, type Success } from "../../shared/spool/recipient-state.ts";
import { type Settlement, SpoolCorrupt, SpoolUnavailable } from "../../shared/spool/spool.ts";
import type { NextStep } from "./decide-next.ts";
import { deadLine, outcomeLines, settledLine, undeliverableLines, unreadableLine } from "./delivery-log.ts";
import type { Measurement } from "./delivery-metrics.ts";
import { type DeliveryGroup, expiryMs, type LoadedEnvelope, type LoadedJob } from "./plan.ts";

export interface Effects {
  /** For the spool's status log. */
  settlements: readonly Settlement[];
  /** Notifications that these settlements or earlier ones made pending: one for all failures of a message, and so on. */
  notifications: readonly SharedReport[];
  deadJob?: DeadJob;
  logLines: readonly LogLine[];
  measurements: readonly Measurement[];
}

export const noEffects: Effects = { settlements: [], notifications: [], logLines: [], measurements: [] };

/** @param attempt  `tried`: the outcomes that count; `isFull`: they are those of a destination at its limits */
export function effectsOfAttempt(
  loaded: LoadedJob,
  group: DeliveryGroup,
  { tried, facts, isFull }: { tried: ReadonlyMap<number, Outcome>; facts: AttemptFacts; isFull: boolean },
  step: NextStep,
  nowMs: number,
): Effects {
  const effects = effectsOfOutcomes(loaded, group, { tried, facts }, step, nowMs);
  const measurements: Measurement[] = isFull ? [{ kind: "full" }] : [];
  measurements.push(
    facts.remembered === true ? { kind: "remembered" } : { kind: "attempt", durationMs: facts.durationMs },
  );
  return { ...effects, measurements: [...measurements, ...effects.measurements] };
}

/** Of the recipients alone: the attempt may still go on. */
export function effectsOfOutcomes(
  loaded: LoadedJob,
  group: DeliveryGroup,
  { tried, facts }: { tried: ReadonlyMap<number, Outcome>; facts: AttemptFacts },
  step: NextStep,
  nowMs: number,
): Effects {
  const { meta } = loaded;
  const settlements = [
    ...deliveredSettlements(meta, step.delivered, tried, nowMs),
    ...failedSettlements(meta, step, nowMs),
  ];
  const settled = effectsOfSettlements(loaded, settlements);
  const delayMs = nowMs - meta.receivedAtMs;
  const outcomes = [...tried.values()].map((outcome): Measurement => ({ kind: "outcome", outcome, delayMs }));
  const final = withExpiries(tried, step);
  return {
    ...settled,
    logLines: [...outcomeLines(loaded, group, final, facts, nowMs, step.retry?.atMs), ...settled.logLines],
    measurements: [...outcomes, ...settled.measurements],
  };
}

/**
 * The recipients of a message that no attempt can bring to a server: its body is damaged, or could not be read until it
 * expired. Their sender gets a notification like that of any other failure.
 */
export function undeliverableMessage(
  loaded: LoadedEnvelope,
  recipients: readonly number[],
  diagnosis: Diagnosis,
  nowMs: number,
): { step: NextStep; effects: Effects } {
  const failed = recipients.map((recipient) => ({ recipient, diagnosis }));
  const step: NextStep = { delivered: [], failed, warn: [] };
  const settled = effectsOfSettlements(loaded, failedSettlements(loaded.meta, step, nowMs));
  const outcome: Outcome = { kind: "rejected", diagnosis };
  const delayMs = nowMs - loaded.meta.receivedAtMs;
  const counted = recipients.map((): Measurement => ({ kind: "outcome", outcome, delayMs }));
  return {
    step,
    effects: {
      ...settled,
      logLines: [...undeliverableLines(loaded, recipients, diagnosis, nowMs), ...settled.logLines],
      measurements: [...counted, ...settled.measurements],
    },
  };
}

/** Why nothing can be attempted. The sender reads it: where and how the spool failed is in the log. */
export function undeliverable(error: unknown, nowMs: number): Diagnosis {
  const isUnreadable = error instanceof SpoolCorrupt || error instanceof SpoolUnavailable;
  const reason = isUnreadable
    ? "this mail system can no longer read its copy of the message"
    : "this mail system failed each time it tried to deliver the message";
  return { status: "5.3.0", class: "local", reason, atMs: nowMs };
}

/**
 * The envelope cannot be read: nobody can be notified. The spool records the recipients as dead where the record says
 * how many there are, so that the message is neither forgotten nor kept for ever.
 * @param pending  recipients that are neither settled nor dead
 */
export function unreadableMessage(
  job: DeliveryJob,
  error: unknown,
  pending: readonly number[],
  nowMs: number,
): Effects {
  const detail = error instanceof Error ? error.message : String(error);
  const reason = `the spool's record of the message is damaged: ${detail}`;
  const diagnosis: Diagnosis = { ...undeliverable(error, nowMs), reason };
  const state: RecipientState = { kind: "dead", diagnosis, atMs: nowMs };
  return {
    ...noEffects,
    settlements: pending.length === 0 ? [] : [{ id: job.id, recipients: [...pending], state }],
    deadJob: deadUnreadable(job, reason, nowMs),
    logLines: [unreadableLine(job, error, reason)],
    measurements: [{ kind: "dead", recipients: job.to.length }],
  };
}

/** An earlier run recorded these and may have ended before it enqueued them. Enqueuing them again is harmless. */
export function unpublishedEffects(
  { task, recipients }: LoadedEnvelope,
  states: ReadonlyMap<number, RecipientState>,
): Effects {
  const own = recipients.map((recipient) => states.get(recipient));
  const notifications: SharedReport[] = [];
  if (own.some((state) => state?.kind === "failed")) notifications.push("failed");
  if (own.some((state) => state?.kind === "pending" && state.delay !== undefined))
    notifications.push("delayed");
  if (own.some((state) => state !== undefined && isReportPending(state))) notifications.push("succeeded");
  const dead = own.find((state) => state?.kind === "dead");
  return {
    ...noEffects,
    notifications,
    ...(dead?.kind === "dead" ? { deadJob: deadAfterAttempt(task.job, dead) } : {}),
  };
}

/**
 * One warning for each recipient whose sender wants to hear of delays. The spool remembers it, so that a Redis that
 * forgot the job's history does not lead to a second one.
 */
export function delayWarning(
  loaded: LoadedJob,
  deferred: NextStep["warn"],
  states: ReadonlyMap<number, RecipientState>,
  policy: Pick<Config["queue"], "expire" | "dsn_expire">,
): Effects {
  const { meta } = loaded;
  const late = deferred.filter(({ recipient }) => {
    const state = states.get(recipient);
    const isKnown = state?.kind === "pending" && (state.delay !== undefined || state.warned === true);
    return !isKnown && wantsReport(meta.envelope, recipient, "DELAY");
  });
  if (late.length === 0) return noEffects;
  const willRetryUntilMs = expiryMs(loaded, policy);
  const groups = groupEqual(late.map(({ recipient, diagnosis }) => [recipient, diagnosis]));
  const settlements = groups.map(
    ({ recipients, diagnosis }): Settlement => ({
      id: meta.id,
      recipients,
      state: { kind: "pending", delay: { diagnosis, willRetryUntilMs } },
    }),
  );
  return { ...noEffects, settlements, notifications: ["delayed"] };
}

export function settledMessage(meta: MessageMeta, nowMs: number): Effects {
  return { ...noEffects, logLines: [settledLine(meta, nowMs)] };
}

function effectsOfSettlements(loaded: LoadedEnvelope, settlements: readonly Settlement[]): Effects {
  const logLines: LogLine[] = [];
  const measurements: Measurement[] = [];
  let deadJob: DeadJob | undefined;
  for (const { recipients, state } of settlements) {
    if (state.kind !== "dead") continue;
    logLines.push(deadLine(loaded, recipients, state.diagnosis));
    measurements.push({ kind: "dead", recipients: recipients.length });
    // One dead job stands for all dead recipients of a delivery job.
    deadJob ??= deadAfterAttempt(loaded.task.job, state);
  }
  return {
    settlements,
    notifications: [
      ...(settlements.some(({ state }) => state.kind === "failed") ? (["failed"] as const) : []),
      ...(settlements.some(({ state }) => isReportPending(state)) ? (["succeeded"] as const) : []),
    ],
    ...(deadJob === undefined ? {} : { deadJob }),
    logLines,
    measurements,
  };
}

/** What the spool records of the other recipients of a step: failed with a notification pending, or dead. */
function failedSettlements(meta: MessageMeta, step: NextStep, nowMs: number): Settlement[] {
  const { id, envelope } = meta;
  const settlements: Settlement[] = [];
  if (step.failed.length === 0) return settlements;
  const silent: number[] = [];
  const failed: [number, Diagnosis][] = [];
  const dead: [number, Diagnosis][] = [];
  for (const { recipient, diagnosis } of step.failed) {
    if (isForOperators(envelope, recipient)) dead.push([recipient, diagnosis]);
    else if (wantsReport(envelope, recipient, "FAILURE")) failed.push([recipient, diagnosis]);
    // RFC 3461 §4.1: without FAILURE in its NOTIFY a recipient is settled with no notification.
    else silent.push(recipient);
  }
  if (silent.length > 0) settlements.push({ id, recipients: silent, state: { kind: "bounced" } });
  for (const { recipients, diagnosis } of groupEqual(dead)) {
    settlements.push({ id, recipients, state: { kind: "dead", diagnosis, atMs: nowMs } });
  }
  for (const { recipients, diagnosis } of groupEqual(failed)) {
    settlements.push({ id, recipients, state: { kind: "failed", diagnosis } });
  }
  return settlements;
}

/**
 * What the spool records of deliveries: with a report pending where SUCCESS was asked for and the next server will not
 * report it (RFC 3461 §5.2.2), so that the message stays until the sender has heard of it.
 */
function deliveredSettlements(
  { id, envelope }: MessageMeta,
  delivered: readonly number[],
  outcomes: ReadonlyMap<number, Outcome>,
  nowMs: number,
): Settlement[] {
  const settlements: Settlement[] = [];
  const plain: number[] = [];
  // One transaction has one reply, which all of its recipients share.
  const reported = new Map<SmtpReply, Settlement>();
  for (const recipient of delivered) {
    const outcome = outcomes.get(recipient);
    const isReported =
      outcome?.kind === "delivered" && !outcome.dsnPassedOn && wantsReport(envelope, recipient, "SUCCESS");
    if (!isReported) {
      plain.push(recipient);
      continue;
    }
    const { reply, remote } = outcome;
    const same = reported.get(reply);
    if (same !== undefined) {
      same.recipients.push(recipient);
      continue;
    }
    const success: Success = { kind: "relayed", reply, remote, atMs: nowMs };
    reported.set(reply, { id, recipients: [recipient], state: { kind: "delivered", success } });
  }
  if (plain.length > 0) settlements.push({ id, recipients: plain, state: { kind: "delivered" } });
  return [...settlements, ...reported.values()];
}

/** For the log: a deferred recipient that has expired is a rejected one. */
function withExpiries(outcomes: ReadonlyMap<number, Outcome>, step: NextStep): ReadonlyMap<number, Outcome> {
  const expired = step.failed.filter(({ recipient }) => outcomes.get(recipient)?.kind === "deferred");
  if (expired.length === 0) return outcomes;
  const final = new Map(outcomes);
  for (const { recipient, diagnosis } of expired) final.set(recipient, { kind: "rejected", diagnosis });
  return final;
}
