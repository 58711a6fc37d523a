/** The log lines of a delivery as values: one event for each fact, the same fields in each. Pure. */
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { DeliveryJob } from "../../shared/queue/contract/contract.ts";
import { identifyNextHop } from "../../shared/routing/next-hop.ts";
import type { LogLine } from "../../shared/runtime/log.ts";
import { replyLine } from "../../shared/smtp/diagnose.ts";
import type { Diagnosis, Outcome } from "../../shared/smtp/diagnosis.ts";
import { diagnosisFields, remoteField, tlsFields } from "../../shared/smtp-client/log-fields.ts";
import type { AddressTry, AttemptFacts } from "../../shared/smtp-client/smtp-client.ts";
import { unreachable } from "../../shared/unreachable.ts";
import type { DeliveryGroup, LoadedEnvelope, LoadedJob } from "./plan.ts";

export function attemptLine({ task, meta }: LoadedJob, { recipients, row, nextHop }: DeliveryGroup): LogLine {
  return info({
    event: "delivery.attempt",
    id: meta.id,
    job: task.jobId,
    attempt: attemptNumber(task.job),
    recipients: recipients.length,
    row,
    nextHop: identifyNextHop(nextHop).label,
  });
}

/** One line for each recipient. @param nextAtMs  when deferred recipients are tried again */
export function outcomeLines(
  { task, meta }: LoadedJob,
  { row, nextHop }: DeliveryGroup,
  outcomes: ReadonlyMap<number, Outcome>,
  facts: AttemptFacts,
  nowMs: number,
  nextAtMs: number | undefined,
): LogLine[] {
  const shared = {
    id: meta.id,
    job: task.jobId,
    from: meta.envelope.reversePath,
    attempt: attemptNumber(task.job),
    row,
    nextHop: identifyNextHop(nextHop).label,
    ms: Math.round(facts.durationMs),
    delayMs: nowMs - meta.receivedAtMs,
    ...describeSession(facts),
    // No server was asked: the diagnosis is that of the attempt that found the destination dead.
    ...(facts.remembered === true ? { remembered: true } : {}),
  };
  return [...outcomes].map(([recipient, outcome]) => {
    const to = meta.envelope.recipients[recipient]?.address;
    switch (outcome.kind) {
      case "delivered":
        return info({
          event: "delivery.delivered",
          ...shared,
          to,
          remote: remoteField(outcome.remote),
          status: outcome.reply.enhanced ?? "2.0.0",
          reply: replyLine(outcome.reply),
        });
      case "deferred":
        return info({
          event: "delivery.deferred",
          ...shared,
          to,
          ...diagnosisFields(outcome.diagnosis),
          ...(nextAtMs === undefined ? {} : { nextAttemptAt: new Date(nextAtMs).toISOString() }),
        });
      case "rejected":
        return info({ event: "delivery.rejected", ...shared, to, ...diagnosisFields(outcome.diagnosis) });
      default:
        return unreachable(outcome);
    }
  });
}

/** One line for each recipient of a message with which nothing can be attempted. */
export function undeliverableLines(
  { task, meta }: LoadedEnvelope,
  recipients: readonly number[],
  diagnosis: Diagnosis,
  nowMs: number,
): LogLine[] {
  return recipients.map((recipient) =>
    info({
      event: "delivery.rejected",
      id: meta.id,
      job: task.jobId,
      from: meta.envelope.reversePath,
      to: meta.envelope.recipients[recipient]?.address,
      attempt: attemptNumber(task.job),
      delayMs: nowMs - meta.receivedAtMs,
      ...diagnosisFields(diagnosis),
    }),
  );
}

export function deadLine(
  { task, meta }: LoadedEnvelope,
  recipients: readonly number[],
  { status, reason }: Diagnosis,
): LogLine {
  const { reversePath: from, recipients: all } = meta.envelope;
  const to = recipients.map((recipient) => all[recipient]?.address);
  return {
    level: "warn",
    fields: { event: "message.dead", id: meta.id, job: task.jobId, from, to, status, reason },
  };
}

export function unreadableLine({ id, from, to }: DeliveryJob, err: unknown, reason: string): LogLine {
  return { level: "error", fields: { event: "message.dead", err, id, from, to, reason } };
}

export function settledLine({ id, envelope, receivedAtMs }: MessageMeta, nowMs: number): LogLine {
  return info({
    event: "message.settled",
    id,
    recipients: envelope.recipients.length,
    delayMs: nowMs - receivedAtMs,
  });
}

/** 1 for the first. */
function attemptNumber({ history }: DeliveryJob): number {
  return (history?.attempts ?? 0) + 1;
}

function info(fields: LogLine["fields"]): LogLine {
  return { level: "info", fields };
}

/** A destination may have dozens of addresses; the last ones are the most telling. */
const maxTried = 10;

function describeTry({ host, address, port, result, durationMs }: AddressTry) {
  return { remote: remoteField({ host, address, port }), result, ms: Math.round(durationMs) };
}

/** Of the address that was tried last. */
function describeSession({ tries }: AttemptFacts) {
  const last = tries.at(-1);
  if (last === undefined) return {};
  const { policy, tls, tlsFailure, sourceFailure, stsFailure } = last;
  return {
    // The addresses before it, in order.
    ...(tries.length < 2 ? {} : { tried: tries.slice(0, -1).slice(-maxTried).map(describeTry) }),
    // In clear text there is nothing but the policy that allowed it.
    tls: tls === undefined ? { policy } : tlsFields(tls),
    ...(tlsFailure === undefined ? {} : { tlsFailure }),
    ...(sourceFailure === undefined ? {} : { sourceFailure }),
    ...(stsFailure === undefined ? {} : { stsFailure }),
  };
}
