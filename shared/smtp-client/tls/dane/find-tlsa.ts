/** Finds the TLSA records of a host (RFC 7672 §2.2), where its addresses are DNSSEC-validated. */
import type { DnsAnswer } from "../../dns/answer.ts";
import type { Resolver } from "../../dns/resolver.ts";
import { type TlsaRecord, usableRecords } from "../../dns/tlsa.ts";

export type DaneFinding =
  /** DANE does not apply. `reason`: for people, where the operator requires DANE. */
  | { kind: "none"; reason: string }
  | {
      kind: "usable";
      records: TlsaRecord[];
      /** The owner name of the records, which is sent as SNI (RFC 7672 §8.1). */
      base: string;
    }
  /** There are records, but none is usable: TLS with any certificate is required (RFC 7672 §2.2). */
  | { kind: "unusable" }
  /** The look-up failed, which does not mean that there are none (RFC 7672 §2.1.2). */
  | { kind: "unavailable"; reason: string; isLocal?: true };

/** A host's answers to A and AAAA. */
export interface HostAnswers {
  a: DnsAnswer<string>;
  aaaa: DnsAnswer<string>;
}

/** @param host  configured, or from DNSSEC-validated MX records */
export async function findTlsa(
  host: string,
  port: number,
  answers: HostAnswers,
  resolver: Resolver,
): Promise<DaneFinding> {
  const bases = await baseDomains(host, answers, resolver);
  if (bases.kind === "unavailable") return bases;
  for (const base of bases.names) {
    const answer = await resolver.tlsa(`_${port}._tcp.${base}`);
    // RFC 7672 §2.1.2: an attacker who makes the look-up fail must not thereby get mail in clear text.
    if (answer.kind === "unavailable") return answer;
    if (answer.kind !== "found" || !answer.authenticated) continue;
    const records = usableRecords(answer.records);
    return records.length === 0 ? { kind: "unusable" } : { kind: "usable", records, base };
  }
  const reason =
    bases.names.length === 0
      ? "DNSSEC does not vouch for its addresses"
      : "it has no TLSA records that DNSSEC vouches for";
  return { kind: "none", reason };
}

type BaseDomains =
  | { kind: "names"; names: string[] }
  | { kind: "unavailable"; reason: string; isLocal?: true };

/** RFC 7672 §2.2.3: the name after all CNAMEs first, then the original one; only DNSSEC-validated names are asked for. */
async function baseDomains(host: string, { a, aaaa }: HostAnswers, resolver: Resolver): Promise<BaseDomains> {
  const found = [a, aaaa].filter((answer) => answer.kind === "found");
  const alias = found.find((answer) => answer.alias !== undefined)?.alias;
  if (found.length > 0 && found.every(({ authenticated }) => authenticated)) {
    return { kind: "names", names: alias === undefined ? [host] : [alias, host] };
  }
  // RFC 7672 §2.2.2: no TLSA question where addresses are insecure, since some old name servers fail on it.
  if (alias === undefined) return { kind: "names", names: [] };
  // The alias may lead out of a signed zone; the original name may still have records.
  const first = await resolver.cname(host);
  if (first.kind === "unavailable") return first;
  const isSecure = first.kind === "found" && first.authenticated;
  return { kind: "names", names: isSecure ? [host] : [] };
}
