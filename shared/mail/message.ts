/** What the gateway knows of a message besides its body: the record that the spool stores. */

import type { Diagnosis } from "../smtp/diagnosis.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { Envelope } from "./envelope.ts";

/** The session that a message came by: the facts that routing, Received and the logs need later. */
export interface Origin {
  connection: ClientConnection;
  /** The EHLO or HELO argument as the client gave it. */
  helo: string;
  /** The `with` keyword of the Received field (RFC 3848, RFC 6531): SMTP, ESMTP, ESMTPSA, UTF8SMTP, … */
  protocol: string;
  /** Who had logged in. Absent: nobody. */
  user?: string;
}

export interface MessageMeta {
  version: 1;
  /** The queue id: in the reply to the client, in Received, logs and `postern queue`. */
  id: string;
  /** Epoch milliseconds; the message expires by it. */
  receivedAtMs: number;
  envelope: Envelope;
  /** `null` for messages of the gateway itself: delivery status notifications. */
  origin: Origin | null;
  /**
   * The Received field to put before the message, folded and ending in CRLF. It is kept apart from the body, since a
   * hidden delivery leaves it out.
   */
  received: string;
  /** The Message-ID field's value with its angle brackets; absent when the message has none. */
  messageId?: string;
  /** The header says `TLS-Required: No` (RFC 8689 §3), and MAIL did not say REQUIRETLS, which would overrule it. */
  tlsOptional?: true;
  /** Octets of the body as received: dot-unstuffed, CRLF line ends. */
  size: number;
  /** Whether the body has octets above 127. */
  has8bit: boolean;
  /**
   * The recipient groups, by index into `envelope.recipients`: delivery job n carries `parts[n]`. Computed once, at
   * acceptance, from the routes of that moment, so that job ids stay the same when the configuration changes. The next
   * hop is computed at each attempt.
   */
  parts: number[][];
  /** What traces link to: a W3C traceparent. Absent for messages that are not traced. */
  traceparent?: string;
  /** Recipients whose first attempt was inline; their recipient groups contain no others. */
  tried?: TriedInline;
}

export interface TriedInline {
  /** When their next attempt is due, epoch milliseconds. */
  untilMs: number;
  /** How that attempt ended, by index into `envelope.recipients`, equal diagnoses together. */
  last: { recipients: number[]; diagnosis: Diagnosis }[];
}
