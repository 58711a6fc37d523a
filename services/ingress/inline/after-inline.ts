/** What follows when the far server has spoken, or has not: who has the message, who still needs it. Pure. */

import type { Config } from "../../../shared/config/schema.ts";
import type { Envelope } from "../../../shared/mail/envelope.ts";
import { wantsReport } from "../../../shared/mail/notify.ts";
import { expiresAtMs, waitMs } from "../../../shared/queue/contract/retry-schedule.ts";
import type { Diagnosis, Outcome } from "../../../shared/smtp/diagnosis.ts";
import { isTooManyRecipients } from "../../../shared/smtp-client/transaction/step.ts";
import { unreachable } from "../../../shared/unreachable.ts";

export type AfterInline =
  /** Everybody has it: nothing is stored. */
  | { kind: "delivered" }
  /** Nobody has it, and nobody can: the client hears why, and no notification is needed. */
  | { kind: "refused"; diagnosis: Diagnosis }
  /** The spool's turn. Recipients by their index in the client's envelope. */
  | {
      kind: "stored";
      /** To be delivered by the queue. */
      queued: number[];
      /** Who have it, and whose sender is to be told so by us (RFC 3461 §5.2). */
      reported: number[];
      /** Of the queued, whom the far server answered, or may have: the same again at once would serve nobody. */
      tried: Map<number, Diagnosis>;
    };

/**
 * @param inline    the recipients that the far server accepted at RCPT
 * @param outcome   what became of them
 * @param deferred  the recipients that it could not take then
 */
export function afterInline(
  envelope: Envelope,
  inline: readonly number[],
  outcome: Outcome,
  deferred: ReadonlyMap<number, Diagnosis>,
): AfterInline {
  const { recipients } = envelope;
  const everybody = [...recipients.keys()];
  const tried = new Map([...deferred].filter(([, diagnosis]) => isAttempt(diagnosis)));
  switch (outcome.kind) {
    case "delivered": {
      const queued = everybody.filter((index) => !inline.includes(index));
      const isReported = (index: number) => wantsReport(envelope, index, "SUCCESS");
      // A server that takes NOTIFY reports by itself.
      const reported = outcome.dsnPassedOn ? [] : inline.filter(isReported);
      if (queued.length === 0 && reported.length === 0) return { kind: "delivered" };
      return { kind: "stored", queued, reported, tried };
    }
    case "rejected":
      // With others in the queue the client must hear 250: the delivery worker gets the refusal again and makes the DSN.
      if (inline.length === recipients.length) return { kind: "refused", diagnosis: outcome.diagnosis };
      return { kind: "stored", queued: everybody, reported: [], tried };
    case "deferred":
      if (isAttempt(outcome.diagnosis)) for (const index of inline) tried.set(index, outcome.diagnosis);
      return { kind: "stored", queued: everybody, reported: [], tried };
    default:
      return unreachable(outcome);
  }
}

/** The far server said that it is not now, or it may have the message. Too many in one transaction are no such answer. */
function isAttempt({ reply, possiblyDelivered }: Diagnosis): boolean {
  if (reply?.command === "RCPT") return !isTooManyRecipients(reply);
  return reply !== undefined || possiblyDelivered === true;
}

/**
 * When the queue tries again, as after a first attempt of its own; at the latest when the sender is to hear something.
 * @param policy  `queue`
 * @param jitter  0..1
 */
export function nextAttemptAtMs(
  atMs: number,
  { receivedAtMs, nullSender }: { receivedAtMs: number; nullSender: boolean },
  policy: Pick<Config["queue"], "retry" | "expire" | "dsn_expire" | "delay_warning">,
  jitter: number,
): number {
  const isWarned = policy.delay_warning > 0 && !nullSender;
  const warnAtMs = isWarned ? receivedAtMs + policy.delay_warning : Number.POSITIVE_INFINITY;
  const endMs = expiresAtMs({ sinceMs: receivedAtMs, nullSender }, policy);
  return Math.ceil(Math.min(atMs + waitMs(1, policy, jitter), warnAtMs, endMs));
}
