/** What the gateway knows of a message besides its body: the record that stands in the spool. */

import type { Diagnosis } from "../smtp/diagnosis.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { Envelope } from "./envelope.ts";

/** The session that a message came by: the facts that routing, Received and the logs need later. */
export interface Origin {
  connection: ClientConnection;
  /** The EHLO or HELO argument as the client gave it. */
  helo: string;
  /** The `with` keyword of the Received field (RFC 3848, RFC 6531): SMTP, ESMTP, ESMTPS, UTF8SMTP, … */
  protocol: string;
}

export interface MessageMeta {
  version: 1;
  /** The queue id: what the client is told, what Received, logs and `postern queue` show. */
  id: string;
  /** Epoch milliseconds; the message expires by it. */
  receivedAtMs: number;
  envelope: Envelope;
  /** `null` for what the gateway itself sends: delivery status notifications. */
  origin: Origin | null;
  /**
   * The Received field to put before the message, folded and ending in CRLF. A hidden delivery leaves it out,
   * hence it is not part of the body.
   */
  received: string;
  /** The Message-ID field's value with its angle brackets; absent when the message has none. */
  messageId?: string;
  /** The header says `TLS-Required: No` (RFC 8689 §3), and MAIL did not say REQUIRETLS, which would come before it. */
  tlsOptional?: true;
  /** Octets of the body as received: dot-unstuffed, CRLF line ends. */
  size: number;
  /** Whether the body has octets above 127. */
  has8bit: boolean;
  /**
   * How the recipients are split into delivery jobs, by index into `envelope.recipients`. Made once, at
   * acceptance, from the routes of that moment, and never again, so that the ids of the jobs stay the same
   * whatever the configuration becomes: job n carries `parts[n]`. The next hop itself is computed at each attempt.
   */
  parts: number[][];
  /** Who was tried while the client waited: the first attempt of their parts, which hold nobody else. */
  tried?: TriedInline;
}

export interface TriedInline {
  /** When their next attempt is due, epoch milliseconds. */
  untilMs: number;
  /** How it ended, by index into `envelope.recipients`, equal diagnoses together. */
  last: { recipients: number[]; diagnosis: Diagnosis }[];
}
