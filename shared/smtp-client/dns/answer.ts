/** Answers of the DNS for a name and type, and how they are read from replies. Pure. */
import type { TlsaRecord } from "./tlsa.ts";

/**
 * The four answers that mail must distinguish (RFC 5321 §5.1): records, no records of this type, no such name, and a
 * failed look-up.
 */
export type DnsAnswer<T> =
  | {
      kind: "found";
      /** At least one. */
      records: T[];
      /** Seconds for which it is still valid. */
      ttl: number;
      /** The AD bit of a validating resolver on this machine (RFC 6840 §5.8): DNSSEC-validated. */
      authenticated: boolean;
      /** The owner name of the records, where CNAMEs led to them. */
      alias?: string;
    }
  | { kind: "nodata"; authenticated: boolean }
  | { kind: "nxdomain"; authenticated: boolean }
  /**
   * SERVFAIL, REFUSED, no answer in time, a loop of CNAMEs: says nothing about the records. `isLocal`: no name server could
   * be asked, for want of descriptors or memory, which says nothing about the DNS either.
   */
  | { kind: "unavailable"; reason: string; isLocal?: true };

export interface MxRecord {
  preference: number;
  /** Lower case, without the final dot; "" in a null MX (RFC 7505). */
  exchange: string;
}

export type RecordType = "A" | "AAAA" | "MX" | "TXT" | "TLSA" | "CNAME";

/** One resource record of a reply, names in lower case. Types that are never asked for have only name, type and TTL. */
export interface ReplyRecord {
  name: string;
  type: RecordType | "SOA" | "NS" | "other";
  ttl: number;
  /** A, AAAA: the address. CNAME: the name that it leads to. */
  text?: string;
  mx?: MxRecord;
  /** TXT: the strings of the record, joined (RFC 7208 §3.3). */
  txt?: string;
  tlsa?: TlsaRecord;
  /** SOA: longest life of a negative answer in seconds (RFC 2308 §4). */
  minimum?: number;
}

export interface DnsReply {
  rcode: number;
  authenticated: boolean;
  answers: ReplyRecord[];
  authorities: ReplyRecord[];
}

/** The answer that one reply gives to a question. */
export type Reading =
  /** `owner`: the owner name of the records, after any CNAMEs. */
  | { kind: "records"; records: ReplyRecord[]; ttl: number; owner: string }
  /** The server did not follow a CNAME: ask again for the name that it leads to. */
  | { kind: "alias"; name: string; ttl: number }
  /** `ttl` undefined: without an SOA the answer must not be cached (RFC 2308 §5). */
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
  // A question for the CNAME itself does not follow it.
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
  // RFC 2308 §5: the smaller of the SOA's TTL and its minimum field.
  const soa = reply.authorities.find((record) => record.type === "SOA");
  const negativeTtl = soa === undefined ? undefined : Math.min(soa.ttl, soa.minimum ?? 0, ttl);
  // RFC 6604 §3: the rcode is about the last name of the chain.
  if (reply.rcode === nameError) return { kind: "nxdomain", ttl: negativeTtl };
  if (owner !== name && soa === undefined) return { kind: "alias", name: owner, ttl };
  // RFC 2308 §2.2: a referral, from a server that does not resolve recursively.
  if (soa === undefined && reply.authorities.some((record) => record.type === "NS")) {
    return { kind: "failure", reason: "a referral instead of an answer" };
  }
  return { kind: "nodata", ttl: negativeTtl };
}

/**
 * The name as it is sent: A-labels, lower case, no final dot.
 * @param toAscii  converts U-labels to A-labels, "" when that is not possible
 * @returns `undefined` for text that cannot be a name in the DNS (RFC 1035 §2.3.4)
 */
export function wireName(text: string, toAscii: (domain: string) => string): string | undefined {
  const plain = /^[\x21-\x7e]+$/.test(text) ? text : toAscii(text);
  const name = (plain.endsWith(".") ? plain.slice(0, -1) : plain).toLowerCase();
  if (name.length === 0 || name.length > 253 || !/^[\x21-\x7e]+$/.test(name)) return undefined;
  for (const label of name.split(".")) if (label.length === 0 || label.length > 63) return undefined;
  return name;
}
