/** The envelope of a message: what MAIL and RCPT said, kept exactly as it was given (RFC 5321 §2.3.1). */

/** RFC 3461 §4.1: which reports the sender wants about a recipient; see notify.ts. */
export type NotifyEvent = "SUCCESS" | "FAILURE" | "DELAY";

export interface Recipient {
  /** The forward-path's mailbox as the client gave it, without angle brackets. */
  address: string;
  /** RFC 3461 §4.1. Absent: FAILURE (and DELAY at our choice). `[]` is NOTIFY=NEVER. */
  notify?: NotifyEvent[];
  /** RFC 3461 §4.2, decoded from xtext, with its address type: `rfc822;joe@example.com`. */
  orcpt?: string;
  /** The gateway's own postmaster, whom anybody may write to: a failure is for the operators, never for the sender. */
  isPostmaster?: true;
}

export interface Envelope {
  /** The mailbox of the reverse-path without angle brackets; `""` is the null reverse-path `<>`. */
  reversePath: string;
  recipients: Recipient[];
  /** RFC 6152 BODY parameter. Absent: 7BIT. */
  body?: "7BIT" | "8BITMIME";
  /** RFC 6531 SMTPUTF8 parameter. */
  smtputf8?: boolean;
  /** RFC 8689 REQUIRETLS parameter. */
  requireTls?: boolean;
  /** RFC 3461 §4.3. Absent: as `dsn.attach` says. */
  ret?: "FULL" | "HDRS";
  /** RFC 3461 §4.4, decoded from xtext. */
  envid?: string;
}

/**
 * Whether the message goes over verified TLS or not at all (RFC 8689 §4.2.1).
 * A notification is never lost for it: with the null reverse-path REQUIRETLS is passed on where it is offered, and
 * stops nothing (RFC 8689 §5).
 */
export function mustHaveTls({
  requireTls,
  reversePath,
}: Pick<Envelope, "requireTls" | "reversePath">): boolean {
  return requireTls === true && reversePath !== "";
}
