/** What the DNS says about a name and type, and how a reply turns into it. Pure. */
import type { TlsaRecord } from "./tlsa.ts";

/**
 * The four things that mail must tell apart (RFC 5321 §5.1): there are records, there are none of this type, there is
 * no such name, and nobody could tell.
 */
export type DnsAnswer<T> =
  | {
      kind: "found";
      /** At least one. */
      records: T[];
      /** Seconds for which it holds from now on. */
      ttl: number;
      /** The AD bit of a validating resolver on this machine (RFC 6840 §5.8): DNSSEC-validated. */
      authenticated: boolean;
      /** Where CNAMEs led to the records: the name that they stand at. */
      alias?: string;
    }
  | { kind: "nodata"; authenticated: boolean }
  | { kind: "nxdomain"; authenticated: boolean }
  /** SERVFAIL, REFUSED, no answer in time, a CNAME loop: not "no". */
  | { kind: "unavailable"; reason: string };

export interface MxRecord {
  preference: number;
  /** Lower case, without the final dot; "" in a null MX (RFC 7505). */
  exchange: string;
}

export type RecordType = "A" | "AAAA" | "MX" | "TXT" | "TLSA" | "CNAME";

/** One resource record of a reply, names in lower case. `data` is undefined for types that we do not ask for. */
export interface ReplyRecord {
  name: string;
  type: RecordType | "SOA" | "NS" | "other";
  ttl: number;
  /** A, AAAA: the address. CNAME: the target. */
  text?: string;
  mx?: MxRecord;
  /** TXT: the strings of the record, joined (RFC 7208 §3.3). */
  txt?: string;
  tlsa?: TlsaRecord;
  /** SOA: seconds that a negative answer holds at most (RFC 2308 §4). */
  minimum?: number;
}

export interface DnsReply {
  rcode: number;
  authenticated: boolean;
  answers: ReplyRecord[];
  authorities: ReplyRecord[];
}

/** What one reply means for the question. */
export type Reading =
  /** `owner`: the name at which they stand, after any CNAMEs. */
  | { kind: "records"; records: ReplyRecord[]; ttl: number; owner: string }
  /** The server stopped at a CNAME: ask again for its target. */
  | { kind: "alias"; target: string; ttl: number }
  /** `ttl` undefined: without an SOA it is not to be cached (RFC 2308 §5). */
  | { kind: "nodata" | "nxdomain"; ttl: number | undefined }
  | { kind: "failure"; reason: string };

const rcodeNames: Record<number, string> = {
  1: "FORMERR",
  2: "SERVFAIL",
  4: "NOTIMP",
  5: "REFUSED",
};
const noError = 0;
const nameError = 3;

/** Longest chain of CNAMEs that is followed, in one reply and over several. */
export const maxAliases = 8;

/** @param name  lower case, without the final dot */
export function readReply(name: string, type: RecordType, reply: DnsReply): Reading {
  if (reply.rcode !== noError && reply.rcode !== nameError) {
    return { kind: "failure", reason: rcodeNames[reply.rcode] ?? `rcode ${reply.rcode}` };
  }
  let owner = name;
  let ttl = Number.POSITIVE_INFINITY;
  const seen = new Set([name]);
  // Who asks for the CNAME itself does not want it followed.
  while (type !== "CNAME") {
    const alias = reply.answers.find((record) => record.type === "CNAME" && record.name === owner);
    if (alias === undefined) break;
    owner = alias.text ?? "";
    ttl = Math.min(ttl, alias.ttl);
    if (seen.has(owner) || seen.size > maxAliases) return { kind: "failure", reason: "a loop of CNAMEs" };
    seen.add(owner);
  }
  const records = reply.answers.filter((record) => record.type === type && record.name === owner);
  if (records.length > 0) {
    for (const record of records) ttl = Math.min(ttl, record.ttl);
    return { kind: "records", records, ttl, owner };
  }
  // RFC 2308 §5: the lesser of the SOA's own TTL and its minimum field.
  const soa = reply.authorities.find((record) => record.type === "SOA");
  const negativeTtl = soa === undefined ? undefined : Math.min(soa.ttl, soa.minimum ?? 0, ttl);
  // RFC 6604 §3: the rcode speaks of the last name of the chain.
  if (reply.rcode === nameError) return { kind: "nxdomain", ttl: negativeTtl };
  if (owner !== name && soa === undefined) return { kind: "alias", target: owner, ttl };
  // RFC 2308 §2.2: a referral, which a server gives that does not look things up for us.
  if (soa === undefined && reply.authorities.some((record) => record.type === "NS")) {
    return { kind: "failure", reason: "a referral instead of an answer" };
  }
  return { kind: "nodata", ttl: negativeTtl };
}

/**
 * The name in the form that goes over the wire: A-labels, lower case, no final dot.
 * @returns `undefined` for what cannot be a name in the DNS (RFC 1035 §2.3.4)
 * @param toAscii  U-labels to A-labels, "" when that is not possible
 */
export function wireName(text: string, toAscii: (domain: string) => string): string | undefined {
  const plain = /^[\x21-\x7e]+$/.test(text) ? text : toAscii(text);
  const name = (plain.endsWith(".") ? plain.slice(0, -1) : plain).toLowerCase();
  if (name.length === 0 || name.length > 253 || !/^[\x21-\x7e]+$/.test(name)) return undefined;
  for (const label of name.split(".")) if (label.length === 0 || label.length > 63) return undefined;
  return name;
}
