/** Which recipients share a mail transaction, with a server that offers these extensions. Pure. */
import type { Envelope } from "../../mail/envelope.ts";
import type { Extensions } from "../../smtp/extensions.ts";
import { hasInternationalAddress } from "./mail-commands.ts";

/** @param pending  indexes into the envelope's recipients, at least one. @returns groups of them, none empty */
export function recipientGroups(envelope: Envelope, pending: number[], offered: Extensions): number[][] {
  const groups = offered.dsn ? byNotify(envelope, pending) : [pending];
  if (offered.smtpUtf8 || !pending.some((index) => isInternational(envelope, index))) return groups;
  return groups.flatMap((group) => byAlphabet(envelope, group));
}

/** RFC 3461 §4.1: recipients with the same NOTIFY share a transaction. */
function byNotify({ recipients }: Envelope, pending: number[]): number[][] {
  const notifyOf = (index: number) => recipients[index]?.notify?.join() ?? "as usual";
  const [first = 0] = pending;
  // The usual case, without a map.
  if (pending.every((index) => notifyOf(index) === notifyOf(first))) return [pending];
  return [...Map.groupBy(pending, notifyOf).values()];
}

/** A server without SMTPUTF8 still takes the mail for recipients whose addresses do not need it. */
function byAlphabet(envelope: Envelope, pending: number[]): number[][] {
  const ascii = pending.filter((index) => !isInternational(envelope, index));
  const international = pending.filter((index) => isInternational(envelope, index));
  return [ascii, international].filter((group) => group.length > 0);
}

function isInternational(envelope: Envelope, index: number): boolean {
  const recipient = envelope.recipients[index];
  return recipient !== undefined && hasInternationalAddress(envelope, [recipient]);
}
