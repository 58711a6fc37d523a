/** A delivery status notification (DSN) as a value, before it becomes a message. Pure. */
import { isAscii } from "../../shared/mail/address.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";

/** RFC 3464 §2.3.3, `expanded` left out: the gateway expands nothing. One notification reports one kind. */
export type DsnKind = "failed" | "delayed" | "relayed" | "delivered";

export interface Dsn {
  kind: DsnKind;
  /** The notification's own queue id. */
  id: string;
  /** The boundary of its parts: random, so that no part of the original can hold it. */
  boundary: string;
  /** Epoch milliseconds. */
  madeAtMs: number;
  /** The gateway's name. */
  hostname: string;
  from: { name: string; address: string };
  /** The original's reverse-path. */
  to: string;
  original: DsnOriginal;
  recipients: DsnRecipient[];
  /** It says `TLS-Required: No`, as the original did (RFC 8689 §6). */
  tlsOptional?: true;
}

export interface DsnOriginal {
  /** The queue id. */
  id: string;
  receivedAtMs: number;
  /** RFC 3461 §4.4: only what the sender gave is Original-Envelope-Id. */
  envid?: string;
  /** The client that sent it; absent for messages of the gateway itself. */
  client?: { helo: string; address: string };
  smtputf8: boolean;
  /** With its CRLFs; possibly cut short. */
  header: Buffer;
  /** The whole message, where it is to be returned. */
  full?: Buffer;
  /** False: nothing of the original goes back. */
  attach: boolean;
}

export interface DsnRecipient {
  /** As the envelope had it. */
  address: string;
  /** RFC 3461 §4.2: `rfc822;joe@example.com`, decoded. */
  orcpt?: string;
  report: RecipientReport;
}

/** A diagnosis, or for a success the reply that accepted the message. */
export type RecipientReport = Pick<
  Diagnosis,
  "status" | "reason" | "reply" | "remote" | "atMs" | "possiblyDelivered"
> & {
  /** Of a delay: when delivery is given up, epoch milliseconds. */
  willRetryUntilMs?: number;
};

/** RFC 6531: whether an address in its own header needs SMTPUTF8. Everything else in it can be written in ASCII. */
export function needsSmtpUtf8({ to, from }: Dsn): boolean {
  return !isAscii(to) || !isAscii(from.address);
}

/** Whether delivery was given up although no server refused for good (RFC 3463 §3.5, X.4.7). */
export function isExpiry(report: RecipientReport): boolean {
  return report.status === "5.4.7" && (report.reply === undefined || report.reply.code < 500);
}
