/** The log lines of an accepted message's inline delivery; the same events and fields as the delivery service's. */
import type { MessageMeta } from "../../../shared/mail/message.ts";
import { identifyNextHop } from "../../../shared/routing/next-hop.ts";
import { type Logger, logEvent } from "../../../shared/runtime/log.ts";
import { replyLine } from "../../../shared/smtp/diagnose.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import { diagnosisFields, remoteField, tlsFields } from "../../../shared/smtp-client/log-fields.ts";
import type { InlineStep } from "../../../shared/smtp-client/transaction/inline-steps.ts";
import type { InlineEnd } from "../../../shared/smtp-client/transaction/inline-transaction.ts";
import type { InlineDelivery } from "./inline-delivery.ts";

/** An accepted message and its inline delivery. */
export interface LoggedInline {
  id: string;
  envelope: MessageMeta["envelope"];
  inlineDelivery: InlineDelivery;
  end: InlineEnd;
  /** Since DATA. */
  ms: number;
  /** Nothing is left to do. */
  isSettled: boolean;
}

export function logInline(
  log: Logger,
  { id, envelope, inlineDelivery, end, ms, isSettled }: LoggedInline,
): void {
  const { row, nextHop } = inlineDelivery.route;
  const shared = {
    id,
    inline: true,
    from: envelope.reversePath,
    row,
    nextHop: identifyNextHop(nextHop).label,
    ms,
    ...(end.tls === undefined ? {} : { tls: tlsFields(end.tls) }),
  };
  const steps = stepsOf(inlineDelivery, end);
  const addressOf = (index: number) => envelope.recipients[index]?.address;
  const { outcome } = end;
  for (const index of inlineDelivery.recipients) {
    const to = addressOf(index);
    if (outcome.kind === "delivered") {
      logEvent(log, {
        event: "delivery.delivered",
        ...shared,
        to,
        remote: remoteField(outcome.remote),
        status: outcome.reply.enhanced ?? "2.0.0",
        reply: replyLine(outcome.reply),
        delayMs: ms,
        ...steps(index),
      });
    } else logDeferred(log, { ...shared, ...steps(index) }, to, outcome.diagnosis);
  }
  for (const [index, diagnosis] of inlineDelivery.deferred)
    logDeferred(log, shared, addressOf(index), diagnosis);
  if (!isSettled) return;
  logEvent(log, {
    event: "message.settled",
    id,
    recipients: envelope.recipients.length,
    delayMs: ms,
  });
}

/**
 * The replies to each step. MAIL, DATA and the final dot are the same for all recipients: the first one's event has them.
 */
function stepsOf(
  { recipients, accepted }: InlineDelivery,
  { steps }: InlineEnd,
): (index: number) => { steps?: InlineStep[] } {
  return (index) => {
    const rcpt = accepted.get(index);
    const own = rcpt === undefined ? [] : [rcpt];
    const [mail, ...rest] = index === recipients[0] ? steps : [];
    const all = mail === undefined ? own : [mail, ...own, ...rest];
    return all.length === 0 ? {} : { steps: all };
  };
}

/** What is known of the session with a server that refused the whole message. */
export interface RefusedInline {
  /** `mx.example.com[192.0.2.25]:25` */
  remote: string;
  tls: object;
  steps: readonly InlineStep[];
  ms: number;
}

/** The server that refused a recipient. */
export function refusingServer({ remote }: Diagnosis): Pick<Partial<RefusedInline>, "remote"> {
  return remote === undefined ? {} : { remote: remoteField(remote) };
}

export function refusedInline({ outcome, tls, steps }: InlineEnd, ms: number): Partial<RefusedInline> {
  const remote = outcome.kind === "delivered" ? outcome.remote : outcome.diagnosis.remote;
  if (remote === undefined) return {};
  return { remote: remoteField(remote), ...(tls === undefined ? {} : { tls: tlsFields(tls) }), steps, ms };
}

/** A refusal is deferred too where others were accepted: the queue gets it again, and makes the notification. */
function logDeferred(log: Logger, shared: object, to: string | undefined, diagnosis: Diagnosis): void {
  logEvent(log, {
    event: "delivery.deferred",
    ...shared,
    to,
    ...diagnosisFields(diagnosis),
  });
}
