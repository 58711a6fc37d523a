/** What a decision about notifications is, and the parts that all of them are made of. Pure. */
import type { Envelope, NotifyEvent } from "../../shared/mail/envelope.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { wantsReport } from "../../shared/mail/notify.ts";
import type { DeadJob } from "../../shared/queue/contract/dead-job.ts";
import type { LogLine } from "../../shared/runtime/log.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Body, Settlement } from "../../shared/spool/spool.ts";
import { inBatches } from "./delivery-status.ts";
import type { DsnKind, DsnRecipient, RecipientReport } from "./dsn.ts";

export type States = ReadonlyMap<number, RecipientState>;

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

export const nothing: BounceDecision = {
  settlements: [],
  notifications: [],
  deadJobs: [],
  deadRecipients: 0,
  logLines: [],
};

/** A recipient that a notification reports. */
export interface ReportedRecipient {
  /** Into `envelope.recipients`. */
  index: number;
  recipient: DsnRecipient;
}

export function reportedRecipients(
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
export function notify(
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

export function plan(
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

/** The sender does not get a notification; the log says why. */
export function withhold(
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
