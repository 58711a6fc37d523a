/** The Received field that the gateway adds (RFC 5321 §4.4). Pure. */
import { rfc5322Date } from "./date.ts";

export interface ReceivedFacts {
  /** The HELO or EHLO argument as the client gave it. */
  helo: string;
  /** Canonical text of an IPv4 or IPv6 address. */
  clientAddress: string;
  hostname: string;
  /** See protocolKeyword. */
  protocol: string;
  tls?: TlsSummary;
  /** The queue id. */
  id: string;
  /** The only recipient. Absent when there are several, so that none learns of the others (RFC 5321 §7.6). */
  recipient?: string;
  atMs: number;
}

export interface TlsSummary {
  /** `TLSv1.3` */
  version: string;
  /** The cipher suite's name at IANA: `TLS_AES_256_GCM_SHA384`. */
  cipher: string;
}

/** The registered `with` keyword: RFC 3848 for ESMTP, TLS and AUTH, RFC 6531 §4.3 for SMTPUTF8. */
export function protocolKeyword(session: {
  ehlo: boolean;
  tls: boolean;
  auth: boolean;
  smtputf8: boolean;
}): string {
  if (!session.ehlo) return "SMTP";
  return `${session.smtputf8 ? "UTF8SMTP" : "ESMTP"}${session.tls ? "S" : ""}${session.auth ? "A" : ""}`;
}

/** Folded, ending in CRLF. */
export function formatReceived(facts: ReceivedFacts): string {
  // RFC 8314 §4.3: the tls clause comes last.
  const tls = facts.tls === undefined ? "" : `\r\n\ttls ${facts.tls.cipher} (${facts.tls.version})`;
  const recipient = facts.recipient === undefined ? "" : `\r\n\tfor <${facts.recipient}>`;
  return `Received: from ${extendedDomain(facts)}\r\n\tby ${facts.hostname} (Postern) with ${facts.protocol} id ${facts.id}${recipient}${tls};\r\n\t${rfc5322Date(facts.atMs)}\r\n`;
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3). */
export function addressLiteral(address: string): string {
  return address.includes(":") ? `[IPv6:${address}]` : `[${address}]`;
}

function extendedDomain({ helo, clientAddress }: ReceivedFacts): string {
  const literal = addressLiteral(clientAddress);
  if (/^(?:[\w-]+(?:\.[\w-]+)*\.?|\[[\w:.]+\])$/.test(helo)) return `${helo} (${literal})`;
  // A name outside the grammar goes into a comment, where it cannot be taken for anything else.
  const claimed = helo.replace(/[^\x21-\x7e]|[()\\]/g, "?");
  return `${literal} (HELO ${claimed}) (${literal})`;
}
