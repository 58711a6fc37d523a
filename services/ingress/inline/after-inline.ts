/** What follows when the far server has spoken, or has not: who has the message, who still needs it. Pure. */
import type { Envelope } from "../../../shared/mail/envelope.ts";
import type { Diagnosis, Outcome } from "../../../shared/smtp/diagnosis.ts";
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
    };

/**
 * @param inline   the recipients that the far server accepted at RCPT
 * @param outcome  what became of them
 */
export function afterInline(
  { recipients, reversePath }: Envelope,
  inline: readonly number[],
  outcome: Outcome,
): AfterInline {
  const everybody = [...recipients.keys()];
  switch (outcome.kind) {
    case "delivered": {
      const queued = everybody.filter((index) => !inline.includes(index));
      const isReported = (index: number) => recipients[index]?.notify?.includes("SUCCESS") === true;
      // A server that takes NOTIFY reports by itself; and nothing is ever sent to `<>`.
      const reported = outcome.dsnPassedOn || reversePath === "" ? [] : inline.filter(isReported);
      if (queued.length === 0 && reported.length === 0) return { kind: "delivered" };
      return { kind: "stored", queued, reported };
    }
    case "rejected":
      // With others in the queue the client must hear 250: the delivery worker gets the refusal again and makes the DSN.
      if (inline.length === recipients.length) return { kind: "refused", diagnosis: outcome.diagnosis };
      return { kind: "stored", queued: everybody, reported: [] };
    case "deferred":
      return { kind: "stored", queued: everybody, reported: [] };
    default:
      return unreachable(outcome);
  }
}
