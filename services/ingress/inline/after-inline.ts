/** What follows when the remote server has replied, or has not: which recipients have the message, which need the queue. Pure. */
import type { Config } from "../../../shared/config/schema.ts";
import type { Envelope } from "../../../shared/mail/envelope.ts";
import type { TriedInline } from "../../../shared/mail/message.ts";
import { wantsReport } from "../../../shared/mail/notify.ts";
import { expiresAtMs, groupEqual, waitMs } from "../../../shared/queue/contract/retry-schedule.ts";
import type { Diagnosis, Outcome } from "../../../shared/smtp/diagnosis.ts";
import { isTooManyRecipients } from "../../../shared/smtp-client/transaction/step.ts";
import type { Success } from "../../../shared/spool/recipient-state.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import type { ReceivedMessage } from "../message/record.ts";

type RetryPolicy = Pick<Config["queue"], "retry" | "expire" | "dsn_expire" | "delay_warning">;

/** The message goes to the spool. Recipients are given by their index in the client's envelope. */
export interface ToStore {
  kind: "stored";
  /** To be delivered by the queue. */
  queued: number[];
  /** Those that have the message, and whose sender gets a success report from us (RFC 3461 §5.2). */
  reported: number[];
  /** Those of the queued that the server replied to, or may have the message: a second attempt at once would be useless. */
  tried: Map<number, Diagnosis>;
}

export type AfterInline =
  /** All recipients have the message: nothing is stored. */
  | { kind: "delivered" }
  /** No recipient has the message or can get it: the client gets the reason, and no notification is needed. */
  | { kind: "refused"; diagnosis: Diagnosis }
  /** The client has disconnected, and no recipient has the message: the client keeps it. */
  | { kind: "unheard" }
  | ToStore;

/**
 * @param inline        the recipients that the remote server accepted at RCPT
 * @param outcome       what became of them
 * @param deferred      the recipients that it could not take then
 * @param clientIsGone  it gets no reply
 */
export function afterInline(
  envelope: Envelope,
  inline: readonly number[],
  outcome: Outcome,
  deferred: ReadonlyMap<number, Diagnosis>,
  clientIsGone: boolean,
): AfterInline {
  const { recipients } = envelope;
  const all = [...recipients.keys()];
  const tried = new Map([...deferred].filter(([, diagnosis]) => isAttempt(diagnosis)));
  switch (outcome.kind) {
    case "delivered": {
      const queued = all.filter((index) => !inline.includes(index));
      const isReported = (index: number) => wantsReport(envelope, index, "SUCCESS");
      // A server that takes NOTIFY reports by itself.
      const reported = outcome.dsnPassedOn ? [] : inline.filter(isReported);
      if (queued.length === 0 && reported.length === 0) return { kind: "delivered" };
      return { kind: "stored", queued, reported, tried };
    }
    case "rejected":
      if (inline.length === recipients.length) return { kind: "refused", diagnosis: outcome.diagnosis };
      // With others in the queue the client must get 250: the delivery worker gets the refusal again and makes the DSN.
      return storeAll(all, tried, clientIsGone);
    case "deferred":
      if (isAttempt(outcome.diagnosis)) for (const index of inline) tried.set(index, outcome.diagnosis);
      return storeAll(all, tried, clientIsGone);
    default:
      return unreachable(outcome);
  }
}

/** RFC 5321 §4.2.5: a client that has not got the reply keeps the message and sends it again. */
function storeAll(queued: number[], tried: Map<number, Diagnosis>, clientIsGone: boolean): AfterInline {
  return clientIsGone ? { kind: "unheard" } : { kind: "stored", queued, reported: [], tried };
}

/** The remote server replied, or it may have the message. A reply that there are too many recipients does not count. */
function isAttempt({ reply, possiblyDelivered }: Diagnosis): boolean {
  if (reply?.command === "RCPT") return !isTooManyRecipients(reply);
  return reply !== undefined || possiblyDelivered === true;
}

/**
 * When the queue tries again, as after a first attempt of its own; at the latest when the sender is to get a notification.
 * @param policy  `queue`
 * @param jitter  0..1
 */
export function nextAttemptAtMs(
  atMs: number,
  { receivedAtMs, nullSender }: { receivedAtMs: number; nullSender: boolean },
  policy: RetryPolicy,
  jitter: number,
): number {
  const isWarned = policy.delay_warning > 0 && !nullSender;
  const warnAtMs = isWarned ? receivedAtMs + policy.delay_warning : Number.POSITIVE_INFINITY;
  const endMs = expiresAtMs({ sinceMs: receivedAtMs, nullSender }, policy);
  return Math.ceil(Math.min(atMs + waitMs(1, policy, jitter), warnAtMs, endMs));
}

/**
 * The message as it is stored: with those recipients alone that the queue delivers to or a report is about, so that
 * no recipient that has the message can ever be tried again.
 * @param success  what a report of inline delivery says
 * @param policy  `queue`
 * @param jitter  0..1
 */
export function remainingMessage(
  message: ReceivedMessage,
  { queued, reported, tried }: ToStore,
  success: Success | undefined,
  receivedAtMs: number,
  policy: RetryPolicy,
  jitter: number,
): ReceivedMessage {
  const { envelope, routes } = message;
  const pick = <T>(list: readonly T[], indexes: number[]): T[] =>
    indexes.flatMap((index) => list[index] ?? []);
  const remaining = {
    ...message,
    // Recipients that are only reported come last, and have no route: there is nothing to deliver.
    envelope: { ...envelope, recipients: pick(envelope.recipients, [...queued, ...reported]) },
    routes: pick(routes, queued),
    ...(success === undefined || reported.length === 0
      ? {}
      : { delivered: { recipients: reported.map((_, position) => queued.length + position), success } }),
  };
  if (tried.size === 0) return remaining;
  const triedAtMs = Math.max(...[...tried.values()].map((diagnosis) => diagnosis.atMs));
  const nullSender = envelope.reversePath === "";
  // By position in the record.
  const last = [...tried].map(([index, diagnosis]) => [queued.indexOf(index), diagnosis] as const);
  const untilMs = nextAttemptAtMs(triedAtMs, { receivedAtMs, nullSender }, policy, jitter);
  const triedInline: TriedInline = { untilMs, last: groupEqual(last) };
  return { ...remaining, tried: triedInline };
}
