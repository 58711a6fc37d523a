/** The part of a notification that programs read: message/delivery-status (RFC 3464 §2), or its form for UTF-8 addresses (RFC 6533 §4). Pure. */
import { isAscii } from "../../shared/mail/address.ts";
import { rfc5322Date } from "../../shared/mail/date.ts";
import { canonicalAddress } from "../../shared/net/network.ts";
import type { SmtpReply } from "../../shared/smtp/status.ts";
import { encodeOrcpt } from "../../shared/smtp/xtext.ts";
import { type Dsn, type DsnRecipient, needsSmtpUtf8 } from "./dsn.ts";
import { clipOctets, field, oneAsciiLine, oneLine } from "./mime.ts";

/** Octets. The text part has more of a long reply; programs want its beginning. */
const maxDiagnosticCode = 1000;
/** Octets of all Diagnostic-Code fields together: with very many recipients each gets less. */
const allDiagnosticCodes = 100_000;
const minDiagnosticCode = 100;
/** Octets of a recipient's fields beside its addresses, with the shortest Diagnostic-Code. */
const otherFields = 350;
/** Octets of the status part: a thousand ordinary recipients with all their fields, or three hundred of the longest. */
const maxStatus = 400_000;

/**
 * RFC 6533 §4: the form for addresses in UTF-8, which servers with SMTPUTF8 carry. Everywhere else such addresses are
 * written in ASCII (§3, utf-8-addr-xtext), in the form that older programs know.
 */
export function needsGlobalStatus(dsn: Dsn): boolean {
  const isInternational = dsn.recipients.some(
    ({ address, orcpt }) => !isAscii(address) || !isAscii(orcpt ?? ""),
  );
  return isInternational && needsSmtpUtf8(dsn);
}

/** @returns the fields, groups separated by empty lines */
export function deliveryStatus(dsn: Dsn): string {
  const inUtf8 = needsGlobalStatus(dsn);
  const clean = inUtf8 ? oneLine : oneAsciiLine;
  const groups = dsn.recipients.map((recipient) => recipientFields(dsn, recipient, clean, inUtf8));
  return [messageFields(dsn, clean), ...groups].join("\r\n");
}

/** RFC 3464 §2.2. */
function messageFields(dsn: Dsn, clean: (text: string) => string): string {
  const { envid, client, receivedAtMs, id } = dsn.original;
  let fields = "";
  if (envid !== undefined) fields += field("Original-Envelope-Id", clean(envid));
  fields += field("Reporting-MTA", `dns; ${dsn.hostname}`);
  if (client !== undefined) {
    fields += field("Received-From-MTA", `dns; ${mtaName(client.helo, client.address)}`);
  }
  fields += field("Arrival-Date", rfc5322Date(receivedAtMs));
  return fields + field("X-Postern-Queue-ID", id);
}

/** RFC 3464 §2.3; the order is that of the RFC. */
function recipientFields(
  dsn: Dsn,
  { address, orcpt, report }: DsnRecipient,
  clean: (text: string) => string,
  inUtf8: boolean,
): string {
  const { status, reply, remote, reason, atMs, willRetryUntilMs } = report;
  let fields = "";
  // An address type is one word; an ORCPT without one is left out, since programs would misread the field.
  const [, originalType = "", original = ""] = /^([A-Za-z0-9-]+);(.+)$/su.exec(orcpt ?? "") ?? [];
  if (oneLine(original) !== "") {
    fields += field("Original-Recipient", "", typedAddress(originalType, "", original, inUtf8));
  }
  // RFC 6533 §3: type utf-8 only for what needs it.
  fields += field(
    "Final-Recipient",
    "",
    typedAddress(isAscii(address) ? "rfc822" : "utf-8", " ", address, inUtf8),
  );
  fields += field("Action", dsn.kind);
  fields += field("Status", status);
  // RFC 3464 §2.3.5: the server that reported; a server that did not answer has not.
  if (remote !== undefined && reply !== undefined) {
    fields += field("Remote-MTA", `dns; ${mtaName(remote.host, remote.address)}`);
  }
  // RFC 3464 §2.3.6: type smtp is for replies of a server; what we found out ourselves has our own type.
  const words = reply === undefined ? `X-Postern; ${reason}` : `smtp; ${describeReply(reply)}`;
  const most = Math.min(maxDiagnosticCode, Math.floor(allDiagnosticCodes / dsn.recipients.length));
  fields += field("Diagnostic-Code", clean(clip(words, Math.max(minDiagnosticCode, most))));
  fields += field("Last-Attempt-Date", rfc5322Date(atMs));
  if (willRetryUntilMs !== undefined) fields += field("Will-Retry-Until", rfc5322Date(willRetryUntilMs));
  return fields;
}

/** One batch for each notification: all recipients in one, unless it would become too large for servers and readers. */
export function inBatches<T extends { recipient: DsnRecipient }>(reported: readonly T[]): T[][] {
  const batches: T[][] = [];
  let batch: T[] = [];
  let octets = 0;
  for (const each of reported) {
    const more = recipientOctets(each.recipient);
    if (octets + more > maxStatus || batch.length === 0) {
      batch = [];
      batches.push(batch);
      octets = 0;
    }
    batch.push(each);
    octets += more;
  }
  return batches;
}

/** Octets of a recipient in the status part at most, not counting a Diagnostic-Code longer than the shortest. */
function recipientOctets({ address, orcpt = "" }: DsnRecipient): number {
  const written = (text: string): number =>
    isAscii(text) ? text.length : encodeOrcpt(`utf-8;${text}`).length;
  return written(address) + written(orcpt) + otherFields;
}

function typedAddress(type: string, space: string, address: string, inUtf8: boolean): string {
  const clean = oneLine(address);
  if (inUtf8) return `${type};${space}${clean}`;
  if (type.toLowerCase() === "utf-8") return encodeOrcpt(`${type};${clean}`).replace(";", `;${space}`);
  return `${type};${space}${oneAsciiLine(clean)}`;
}

/** `550 5.1.1 no such user`: the lines of the reply in one, not yet cleaned. */
function describeReply(reply: SmtpReply): string {
  const enhanced = reply.enhanced === undefined ? "" : `${reply.enhanced} `;
  return `${reply.code} ${enhanced}${reply.lines.join(" ")}`;
}

/** RFC 3464 §2.1.2, type dns: a host name, or an address in brackets as RFC 5321 writes it. */
function mtaName(host: string, address: string): string {
  const name = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$/.test(host) ? host : address;
  const ip = canonicalAddress(name) ?? (name === host ? undefined : canonicalAddress(address));
  if (ip === undefined) return oneAsciiLine(name);
  return ip.includes(":") ? `[IPv6:${ip}]` : `[${ip}]`;
}

function clip(text: string, mostOctets: number): string {
  const beginning = clipOctets(text, mostOctets);
  return beginning.length < text.length ? `${beginning} ...` : text;
}
