/** Which recipients share a mail transaction, with a server that offers these extensions. Pure. */
import type { Envelope } from "../../mail/envelope.ts";
import type { Extensions } from "../../smtp/extensions.ts";
import { needsSmtpUtf8 } from "./mail-commands.ts";

/** @param pending  indexes into the envelope's recipients, at least one. @returns groups of them, none empty */
export function recipientGroups(envelope: Envelope, pending: number[], offered: Extensions): number[][] {
  const groups = offered.dsn ? byNotify(envelope, pending) : [pending];
  return offered.smtpUtf8 ? groups : groups.flatMap((group) => byAlphabet(envelope, group));
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
  const isInternational = (index: number) => {
    const recipient = envelope.recipients[index];
    return recipient !== undefined && needsSmtpUtf8({ ...envelope, smtputf8: false }, [recipient], false);
  };
  const groups = [pending.filter((index) => !isInternational(index)), pending.filter(isInternational)];
  return groups.filter((group) => group.length > 0);
}
