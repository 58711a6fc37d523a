/** The lines that tell a delivery's story: one event for each fact, the same fields in each. */
import type { MessageMeta } from "../../shared/mail/message.ts";
import { describeNextHop } from "../../shared/routing/route.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { Diagnosis, Outcome } from "../../shared/smtp/diagnosis.ts";
import type { SmtpReply } from "../../shared/smtp/status.ts";
import type { AttemptFacts, TlsFacts } from "../../shared/transport/transport.ts";
import { unreachable } from "../../shared/unreachable.ts";
import type { Leg } from "./plan.ts";

/** What all lines about one leg share. */
export interface LegContext {
  jobId: string;
  meta: MessageMeta;
  leg: Leg;
  /** 1 for the first. */
  attempt: number;
}

export function logAttempt(log: Logger, { jobId, meta, leg, attempt }: LegContext): void {
  log.info({
    event: "delivery.attempt",
    id: meta.id,
    job: jobId,
    attempt,
    recipients: leg.recipients.length,
    row: leg.row,
    nextHop: describeNextHop(leg.nextHop),
  });
}

/** One line for each recipient. @param nextAtMs  when deferred recipients are tried again */
export function logOutcomes(
  log: Logger,
  { jobId, meta, leg, attempt }: LegContext,
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
    row: leg.row,
    nextHop: describeNextHop(leg.nextHop),
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
          remote: describeRemote(outcome.remote),
          status: outcome.reply.enhanced ?? "2.0.0",
          reply: describeReply(outcome.reply),
        });
        break;
      case "deferred":
        log.info({
          event: "delivery.deferred",
          ...shared,
          to,
          ...describeDiagnosis(outcome.diagnosis),
          ...(nextAtMs === undefined ? {} : { nextAttemptAt: new Date(nextAtMs).toISOString() }),
        });
        break;
      case "rejected":
        log.info({ event: "delivery.rejected", ...shared, to, ...describeDiagnosis(outcome.diagnosis) });
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

function describeDiagnosis({ status, reason, reply, remote, possiblyDelivered, ...rest }: Diagnosis) {
  return {
    status,
    class: rest.class,
    reason,
    ...(reply === undefined ? {} : { reply: describeReply(reply), command: reply.command }),
    ...(remote === undefined ? {} : { remote: describeRemote(remote) }),
    ...(possiblyDelivered === true ? { possiblyDelivered } : {}),
  };
}

function describeReply({ code, enhanced, lines }: SmtpReply): string {
  return `${code} ${enhanced === undefined ? "" : `${enhanced} `}${lines.join(" ")}`;
}

/** `mx.example.com[192.0.2.25]:25` */
function describeRemote({ host, address, port }: { host: string; address: string; port: number }): string {
  return host === address ? `[${address}]:${port}` : `${host}[${address}]:${port}`;
}

/** Of the address that was tried last. */
function describeTls({ tries }: AttemptFacts) {
  const last = tries.at(-1);
  if (last === undefined) return {};
  const { policy, tls, tlsFailure, stsFailure } = last;
  return {
    // In clear text there is nothing but the policy that allowed it.
    tls: tls === undefined ? { policy } : describeSession(tls),
    ...(tlsFailure === undefined ? {} : { tlsFailure }),
    ...(stsFailure === undefined ? {} : { stsFailure }),
  };
}

function describeSession({ protocol, cipher, level, peerName, verified, tlsa }: TlsFacts) {
  return {
    protocol,
    cipher,
    policy: level,
    peer: peerName,
    verified,
    ...(tlsa === undefined ? {} : { tlsa }),
  };
}
