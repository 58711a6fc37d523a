/** The lines that tell a delivery's story: one event for each fact, the same fields in each. */
import type { MessageMeta } from "../../shared/mail/message.ts";
import { identifyNextHop } from "../../shared/routing/next-hop.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import { replyLine } from "../../shared/smtp/diagnose.ts";
import type { Outcome } from "../../shared/smtp/diagnosis.ts";
import { diagnosisFields, remoteField, tlsFields } from "../../shared/smtp-client/log-fields.ts";
import type { AttemptFacts } from "../../shared/smtp-client/smtp-client.ts";
import { unreachable } from "../../shared/unreachable.ts";
import type { DeliveryGroup } from "./plan.ts";

/** What all lines about one leg share. */
export interface GroupContext {
  jobId: string;
  meta: MessageMeta;
  group: DeliveryGroup;
  /** 1 for the first. */
  attempt: number;
}

export function logAttempt(log: Logger, { jobId, meta, group, attempt }: GroupContext): void {
  log.info({
    event: "delivery.attempt",
    id: meta.id,
    job: jobId,
    attempt,
    recipients: group.recipients.length,
    row: group.row,
    nextHop: identifyNextHop(group.nextHop).label,
  });
}

/** One line for each recipient. @param nextAtMs  when deferred recipients are tried again */
export function logOutcomes(
  log: Logger,
  { jobId, meta, group, attempt }: GroupContext,
  outcomes: ReadonlyMap<number, Outcome>,
  facts: AttemptFacts,
  nowMs: number,
  nextAtMs: number | undefined,
): void {
  const shared = {
    id: meta.id,
    job: jobId,
    from: meta.envelope.reversePath,
    attempt,
    row: group.row,
    nextHop: identifyNextHop(group.nextHop).label,
    ms: Math.round(facts.durationMs),
    delayMs: nowMs - meta.receivedAtMs,
    ...describeTls(facts),
    // Nothing was tried: the diagnosis is of the attempt that found out.
    ...(facts.remembered === true ? { remembered: true } : {}),
  };
  for (const [recipient, outcome] of outcomes) {
    const to = meta.envelope.recipients[recipient]?.address;
    switch (outcome.kind) {
      case "delivered":
        log.info({
          event: "delivery.delivered",
          ...shared,
          to,
          remote: remoteField(outcome.remote),
          status: outcome.reply.enhanced ?? "2.0.0",
          reply: replyLine(outcome.reply),
        });
        break;
      case "deferred":
        log.info({
          event: "delivery.deferred",
          ...shared,
          to,
          ...diagnosisFields(outcome.diagnosis),
          ...(nextAtMs === undefined ? {} : { nextAttemptAt: new Date(nextAtMs).toISOString() }),
        });
        break;
      case "rejected":
        log.info({ event: "delivery.rejected", ...shared, to, ...diagnosisFields(outcome.diagnosis) });
        break;
      default:
        unreachable(outcome);
    }
  }
}

export function logSettled(log: Logger, meta: MessageMeta, nowMs: number): void {
  log.info({
    event: "message.settled",
    id: meta.id,
    recipients: meta.envelope.recipients.length,
    delayMs: nowMs - meta.receivedAtMs,
  });
}

/** Of the address that was tried last. */
function describeTls({ tries }: AttemptFacts) {
  const last = tries.at(-1);
  if (last === undefined) return {};
  const { policy, tls, tlsFailure, stsFailure } = last;
  return {
    // In clear text there is nothing but the policy that allowed it.
    tls: tls === undefined ? { policy } : tlsFields(tls),
    ...(tlsFailure === undefined ? {} : { tlsFailure }),
    ...(stsFailure === undefined ? {} : { stsFailure }),
  };
}
