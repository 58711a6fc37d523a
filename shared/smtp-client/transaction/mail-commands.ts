/** MAIL and RCPT for a server that offers these extensions, and whether it can have the message at all. Pure. */
import { isAscii } from "../../mail/address.ts";
import type { Envelope, Recipient } from "../../mail/envelope.ts";
import { formatNotify } from "../../mail/notify.ts";
import { type Failure, type Remote, rejected, remoteName } from "../../smtp/diagnose.ts";
import type { Extensions } from "../../smtp/extensions.ts";
import { encodeOrcpt, encodeXtext } from "../../smtp/xtext.ts";

/** The traits of a message that the parameters of MAIL depend on. */
export interface MessageTraits {
  /** Octets as they will be sent, without stuffed dots (RFC 1870 §5); `undefined` while the size is not known. */
  octets: number | undefined;
  has8bit: boolean;
  /** Whether addresses or header are internationalised (RFC 6531 §3.4). */
  needsSmtpUtf8: boolean;
}

/** With its CRLF. */
export function mailCommand(envelope: Envelope, traits: MessageTraits, offered: Extensions): string {
  let line = `MAIL FROM:<${envelope.reversePath}>`;
  if (offered.size && traits.octets !== undefined) line += ` SIZE=${traits.octets}`;
  if (offered.eightBitMime && (traits.has8bit || envelope.body === "8BITMIME")) line += " BODY=8BITMIME";
  if (offered.smtpUtf8 && traits.needsSmtpUtf8) line += " SMTPUTF8";
  if (offered.requireTls && envelope.requireTls) line += " REQUIRETLS";
  // RFC 3461 §5.2.1: pass on what the sender gave, unchanged, and add nothing.
  if (offered.dsn && envelope.ret !== undefined) line += ` RET=${envelope.ret}`;
  if (offered.dsn && envelope.envid !== undefined) line += ` ENVID=${encodeXtext(envelope.envid)}`;
  return `${line}\r\n`;
}

/** With its CRLF. Each recipient has its own parameters, so that all recipients fit one transaction. */
export function rcptCommand(recipient: Recipient, offered: Extensions): string {
  let line = `RCPT TO:<${recipient.address}>`;
  if (offered.dsn) {
    if (recipient.notify !== undefined) line += ` NOTIFY=${formatNotify(recipient.notify)}`;
    if (recipient.orcpt !== undefined) line += ` ORCPT=${encodeOrcpt(recipient.orcpt)}`;
  }
  return `${line}\r\n`;
}

/**
 * RFC 6531 §3.4 asks for SMTPUTF8 only where it is needed. Some clients always say it, and most servers would refuse
 * their mail if it were passed on.
 * @param headerHas8bit  `undefined` when the header was not read
 */
export function needsSmtpUtf8(
  envelope: Envelope,
  recipients: readonly Recipient[],
  headerHas8bit: boolean | undefined,
): boolean {
  if (hasInternationalAddress(envelope, recipients)) return true;
  return envelope.smtputf8 === true && headerHas8bit !== false;
}

export function hasInternationalAddress(
  { reversePath }: Pick<Envelope, "reversePath">,
  recipients: readonly Recipient[],
): boolean {
  return !isAscii(reversePath) || recipients.some(({ address }) => !isAscii(address));
}

/** Why a server cannot have a message, for want of an extension: RFC 6531 §3.5, RFC 6152 §3, RFC 1870 §6.1. */
export type Unfit =
  | { status: "5.6.7"; reason: string }
  | { status: "5.6.3"; reason: string }
  | { status: "5.3.4"; reason: string };

export function unfitFor(
  envelope: Pick<Envelope, "body">,
  traits: MessageTraits,
  offered: Extensions,
): Unfit | undefined {
  if (traits.needsSmtpUtf8 && !offered.smtpUtf8) {
    return {
      status: "5.6.7",
      reason: "it does not accept internationalised addresses or headers (SMTPUTF8)",
    };
  }
  // RFC 6152 §3: a client that declared 8BITMIME was promised it, or a refusal. 8-bit octets that were not declared are
  // sent on: servers without 8BITMIME accept them all the same.
  const isPromised = traits.has8bit && envelope.body === "8BITMIME";
  // SMTPUTF8 brings 8BITMIME with it (RFC 6531 §3.1).
  if (isPromised && !offered.eightBitMime && !offered.smtpUtf8) {
    return { status: "5.6.3", reason: "it does not accept 8-bit content (8BITMIME)" };
  }
  const { octets = 0 } = traits;
  if (offered.maxOctets !== undefined && octets > offered.maxOctets) {
    const reason = `the message has ${octets} octets, and it accepts ${offered.maxOctets} at most`;
    return { status: "5.3.4", reason };
  }
  return undefined;
}

/** The outcome at this host; another one may offer the extension. */
export function rejectUnfit(unfit: Unfit, remote: Remote, atMs: number): Failure {
  return rejected("5xx", unfit.status, `${remoteName(remote)}: ${unfit.reason}`, atMs, remote);
}
