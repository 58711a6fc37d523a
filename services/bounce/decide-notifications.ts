/** What follows from a bounce job: which notifications to make, and what is settled without one. Pure. */
import type { Envelope, NotifyEvent } from "../../shared/mail/envelope.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { wantsReport } from "../../shared/mail/notify.ts";
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import { type DeadJob, deadFromMessage, deadUnreadableBounce } from "../../shared/queue/contract/dead-job.ts";
import type { ReportPolicy } from "../../shared/routing/report-policy.ts";
import type { RouteSummary } from "../../shared/routing/route.ts";
import type { LogLine } from "../../shared/runtime/log.ts";
import {
  allRecipientsSettled,
  isReportPending,
  type RecipientState,
  type Success,
} from "../../shared/spool/recipient-state.ts";
import type { Body, Settlement } from "../../shared/spool/spool.ts";
import { unreachable } from "../../shared/unreachable.ts";
import { inBatches } from "./delivery-status.ts";
import type { DsnKind, DsnRecipient, RecipientReport } from "./dsn.ts";

type States = ReadonlyMap<number, RecipientState>;

/** The message that a notification is about. */
export interface Original {
  meta: MessageMeta;
  /** Absent when it cannot be read: nothing of it is returned. */
  body?: Body;
}

export interface PlannedNotification {
  original: Original;
  kind: DsnKind;
  recipients: DsnRecipient[];
  /** Recorded together with the notification, so that both happen or neither. Success reports settle nothing. */
  settles?: Settlement;
}

/** What a decision leads to outside the notifier, as a value that publish() brings out. */
export interface BounceDecision {
  /** For the spool's status log: settled with no notification. */
  settlements: readonly Settlement[];
  notifications: readonly PlannedNotification[];
  deadJobs: readonly DeadJob[];
  /** How many recipients the settlements make dead. */
  deadRecipients: number;
  /** The kind of a notification that the sender does not get. */
  withheld?: DsnKind;
  logLines: readonly LogLine[];
}

const nothing: BounceDecision = {
  settlements: [],
  notifications: [],
  deadJobs: [],
  deadRecipients: 0,
  logLines: [],
};

/** The recipients that a bounce job is still about: what is reported already, or delivered meanwhile, is not among them. */
export function pendingRecipients(job: BounceJob, states: States): number[] {
  switch (job.kind) {
    case "failed":
      return indexesWhere(states, (state) => state.kind === "failed");
    case "delayed":
      return indexesWhere(states, (state) => state.kind === "pending" && state.delay !== undefined);
    case "succeeded":
      return indexesWhere(states, isReportPending);
    case "relayed":
    case "delivered":
      return job.recipients.map(({ recipient }) => recipient);
    default:
      return unreachable(job);
  }
}

export interface NotificationRules {
  reportPolicy: ReportPolicy;
  /** The route that a dead job carries. */
  summarizeRoute(meta: MessageMeta): RouteSummary;
}

export function decideNotifications(
  job: BounceJob,
  original: Original,
  states: States,
  { reportPolicy, summarizeRoute }: NotificationRules,
  nowMs: number,
): BounceDecision {
  const { meta } = original;
  const pending = pendingRecipients(job, states);
  const why = reportPolicy.whyWithheld(meta, eventOf[job.kind]);
  switch (job.kind) {
    case "failed":
      return why === undefined
        ? reportFailures(original, states, pending, nowMs)
        : withholdFailures(job, meta, states, summarizeRoute(meta), why, nowMs);
    case "delayed":
      return why === undefined ? reportDelays(original, states, pending) : withholdDelays(meta, pending, why);
    case "succeeded":
      return reportPendingSuccesses(original, states, pending, why, nowMs);
    case "relayed":
    case "delivered":
      return why === undefined ? reportSuccesses(original, job) : withhold(meta, job.kind, pending, why);
    default:
      return unreachable(job);
  }
}

const eventOf: Record<BounceJob["kind"], NotifyEvent> = {
  failed: "FAILURE",
  delayed: "DELAY",
  succeeded: "SUCCESS",
  relayed: "SUCCESS",
  delivered: "SUCCESS",
};

/** One notification for all recipients that failed so far. */
function reportFailures(original: Original, states: States, failed: number[], nowMs: number): BounceDecision {
  const { id, envelope, receivedAtMs } = original.meta;
  const reported = reportedRecipients(envelope, failed, "FAILURE", (index) => {
    const state = states.get(index);
    return state?.kind === "failed" ? state.diagnosis : undefined;
  });
  const settlement: Settlement = { id, recipients: failed, state: { kind: "bounced" } };
  const decision = notify(original, "failed", reported, settlement);
  if (!allRecipientsSettled(states, envelope.recipients.length, failed)) return decision;
  const fields = { event: "message.settled" as const, id, delayMs: nowMs - receivedAtMs };
  return { ...decision, logLines: [{ level: "info", fields }] };
}

/** One warning for all recipients whose delay is not reported yet; its record notes that the sender was warned. */
function reportDelays(original: Original, states: States, late: number[]): BounceDecision {
  const { id, envelope } = original.meta;
  const reported = reportedRecipients(envelope, late, "DELAY", (index) => {
    const state = states.get(index);
    if (state?.kind !== "pending" || state.delay === undefined) return undefined;
    return { ...state.delay.diagnosis, willRetryUntilMs: state.delay.willRetryUntilMs };
  });
  return notify(original, "delayed", reported, warned(id, late));
}

function warned(id: string, recipients: number[]): Settlement {
  return { id, recipients, state: { kind: "pending", warned: true } };
}

/** The delay counts as reported, so that no later attempt comes back to it. */
function withholdDelays(meta: MessageMeta, late: number[], reason: string): BounceDecision {
  return { ...withhold(meta, "delayed", late, reason), settlements: [warned(meta.id, late)] };
}

function withhold(
  { id, envelope }: MessageMeta,
  kind: DsnKind,
  recipients: readonly number[],
  reason: string,
): BounceDecision {
  const to = recipients.slice(0, 100).map((index) => envelope.recipients[index]?.address ?? "");
  const fields = {
    event: "dsn.withheld" as const,
    id,
    kind,
    to: envelope.reversePath,
    recipients: to,
    reason,
  };
  return { ...nothing, withheld: kind, logLines: [{ level: "info", fields }] };
}

/** One notification for all deliveries that are not reported yet, by whether the server passes the message on. */
function reportPendingSuccesses(
  original: Original,
  states: States,
  pending: number[],
  why: string | undefined,
  nowMs: number,
): BounceDecision {
  const { meta } = original;
  const { id, envelope, receivedAtMs } = meta;
  const decisions = (["relayed", "delivered"] as const).flatMap((kind) => {
    const successOf = (index: number): Success | undefined => {
      const state = states.get(index);
      return state !== undefined && isReportPending(state) && state.success.kind === kind
        ? state.success
        : undefined;
    };
    const recipients = pending.filter((index) => successOf(index) !== undefined);
    if (recipients.length === 0) return [];
    const settlement: Settlement = { id, recipients, state: { kind: "delivered" } };
    if (why !== undefined) return [{ ...withhold(meta, kind, recipients, why), settlements: [settlement] }];
    const reported = reportedRecipients(envelope, recipients, "SUCCESS", (index) => {
      const success = successOf(index);
      return success && acceptanceReport(success);
    });
    return [notify(original, kind, reported, settlement)];
  });
  const isSettled = allRecipientsSettled(states, envelope.recipients.length, pending);
  const fields = { event: "message.settled" as const, id, delayMs: nowMs - receivedAtMs };
  const settledLine: LogLine[] = isSettled ? [{ level: "info", fields }] : [];
  const withheld = decisions[0]?.withheld;
  return {
    ...nothing,
    ...(withheld === undefined ? {} : { withheld }),
    settlements: decisions.flatMap(({ settlements }) => settlements),
    notifications: decisions.flatMap(({ notifications }) => notifications),
    logLines: [...decisions.flatMap(({ logLines }) => logLines), ...settledLine],
  };
}

type Acceptance = Pick<Success, "reply" | "remote" | "atMs">;

function acceptanceReport({ reply, remote, atMs }: Acceptance): RecipientReport {
  return { status: reply.enhanced ?? "2.0.0", reason: "accepted", reply, remote, atMs };
}

/**
 * Of a job of version 0.1, of which the states say nothing: a crash right after the notification is stored can repeat
 * it, which does no harm.
 */
function reportSuccesses(
  original: Original,
  { kind, recipients }: Extract<BounceJob, { kind: "relayed" | "delivered" }>,
): BounceDecision {
  const { envelope } = original.meta;
  const accepted = new Map(recipients.map((acceptance) => [acceptance.recipient, acceptance]));
  const reported = reportedRecipients(envelope, [...accepted.keys()], "SUCCESS", (index) => {
    const acceptance = accepted.get(index);
    return acceptance && acceptanceReport(acceptance as Acceptance);
  });
  return { ...nothing, notifications: inBatches(reported).map((batch) => plan(original, kind, batch)) };
}

/** Nobody hears of the failures: they are kept for the operators. */
function withholdFailures(
  job: BounceJob,
  meta: MessageMeta,
  states: States,
  route: RouteSummary,
  reason: string,
  nowMs: number,
): BounceDecision {
  const settlements = deadSettlements(meta.id, states, nowMs);
  const stored = { meta, locator: job.locator };
  // One for each recipient group: requeued, it is an ordinary delivery job again.
  const deadJobs = meta.parts.flatMap((indexes, group) => {
    const dead = settlements.find(
      ({ recipients: [index] }) => index !== undefined && indexes.includes(index),
    );
    return dead === undefined ? [] : [deadFromMessage(stored, group, route, dead.state, reason)];
  });
  const fields = { event: "message.dead" as const, id: meta.id, from: meta.envelope.reversePath, reason };
  return {
    ...nothing,
    settlements,
    deadJobs,
    deadRecipients: settlements.length,
    withheld: "failed",
    logLines: [{ level: "warn", fields }],
  };
}

/**
 * The envelope cannot be read: failures can be reported to the operators only, delays and successes to nobody. They
 * count as reported, so that the job does not come back.
 */
export function unreadableMessage(
  job: BounceJob,
  states: States,
  error: unknown,
  nowMs: number,
): BounceDecision {
  const { id } = job;
  const reason = `the spool's record is damaged: ${error instanceof Error ? error.message : error}`;
  const logLines: LogLine[] = [{ level: "error", fields: { event: "message.dead", id, err: error, reason } }];
  const recipients = pendingRecipients(job, states);
  switch (job.kind) {
    case "failed": {
      const settlements = deadSettlements(id, states, nowMs);
      const deadJobs = [deadUnreadableBounce(job, reason, nowMs)];
      return { ...nothing, settlements, deadJobs, deadRecipients: settlements.length, logLines };
    }
    case "delayed": {
      const settlements: Settlement[] = [{ id, recipients, state: { kind: "pending", warned: true } }];
      return { ...nothing, settlements, logLines };
    }
    case "succeeded":
      return { ...nothing, settlements: [{ id, recipients, state: { kind: "delivered" } }], logLines };
    case "relayed":
    case "delivered":
      return { ...nothing, logLines };
    default:
      return unreachable(job);
  }
}

/** Since when a report is pending, in epoch milliseconds; `nowMs` where nothing says so. */
export function pendingSinceMs(job: BounceJob, states: States, nowMs: number): number {
  const times = pendingRecipients(job, states).map((recipient) => {
    const state = states.get(recipient);
    if (state?.kind === "failed") return state.diagnosis.atMs;
    if (state !== undefined && isReportPending(state)) return state.success.atMs;
    return state?.kind === "pending" ? (state.delay?.diagnosis.atMs ?? nowMs) : nowMs;
  });
  return Math.min(nowMs, ...times);
}

type DeadSettlement = Settlement & { state: Extract<RecipientState, { kind: "dead" }> };

function deadSettlements(id: string, states: States, atMs: number): DeadSettlement[] {
  return [...states].flatMap(([index, state]) =>
    state.kind === "failed"
      ? [{ id, recipients: [index], state: { kind: "dead", diagnosis: state.diagnosis, atMs } }]
      : [],
  );
}

/** A recipient that a notification reports. */
interface ReportedRecipient {
  /** Into `envelope.recipients`. */
  index: number;
  recipient: DsnRecipient;
}

function reportedRecipients(
  envelope: Envelope,
  indexes: readonly number[],
  event: NotifyEvent,
  reportOf: (index: number) => RecipientReport | undefined,
): ReportedRecipient[] {
  return indexes.flatMap((index) => {
    const recipient = envelope.recipients[index];
    const report = reportOf(index);
    if (recipient === undefined || report === undefined || !wantsReport(envelope, index, event)) return [];
    const { address, orcpt } = recipient;
    return [{ index, recipient: { address, ...(orcpt === undefined ? {} : { orcpt }), report } }];
  });
}

/** @param settlement  of all recipients; each notification settles its own, and the rest is settled without one */
function notify(
  original: Original,
  kind: DsnKind,
  reported: readonly ReportedRecipient[],
  settlement: Settlement,
): BounceDecision {
  const named = new Set(reported.map(({ index }) => index));
  const unreported = settlement.recipients.filter((index) => !named.has(index));
  return {
    ...nothing,
    settlements: unreported.length > 0 ? [{ ...settlement, recipients: unreported }] : [],
    notifications: inBatches(reported).map((batch) => plan(original, kind, batch, settlement)),
  };
}

function plan(
  original: Original,
  kind: DsnKind,
  batch: readonly ReportedRecipient[],
  settlement?: Settlement,
): PlannedNotification {
  return {
    original,
    kind,
    recipients: batch.map(({ recipient }) => recipient),
    ...(settlement === undefined
      ? {}
      : { settles: { ...settlement, recipients: batch.map(({ index }) => index) } }),
  };
}

function indexesWhere(states: States, matches: (state: RecipientState) => boolean): number[] {
  return [...states].filter(([, state]) => matches(state)).map(([index]) => index);
}
