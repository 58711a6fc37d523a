/** Which recipients share a mail transaction, with a server that offers these extensions. Pure. */
import type { Envelope } from "../../mail/envelope.ts";
import type { Extensions } from "../../smtp/extensions.ts";
import { hasInternationalAddress } from "./mail-commands.ts";

/**
 * One transaction is enough for most messages: NOTIFY and ORCPT belong to RCPT, and each recipient has its own (RFC 3461
 * §4). A server without SMTPUTF8 still takes the mail for recipients whose addresses do not need it.
 * @param pending  indexes into the envelope's recipients, at least one
 * @returns groups of them, none empty
 */
export function recipientGroups(envelope: Envelope, pending: number[], offered: Extensions): number[][] {
  if (offered.smtpUtf8 || !pending.some((index) => isInternational(envelope, index))) return [pending];
  const ascii = pending.filter((index) => !isInternational(envelope, index));
  const international = pending.filter((index) => isInternational(envelope, index));
  return [ascii, international].filter((group) => group.length > 0);
}

function isInternational(envelope: Envelope, index: number): boolean {
  const recipient = envelope.recipients[index];
  return recipient !== undefined && hasInternationalAddress(envelope, [recipient]);
}
