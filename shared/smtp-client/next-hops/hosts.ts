/** Which hosts and addresses to try for a next hop, and in which order, from the answers of the DNS (RFC 5321 §5.1). Pure. */
import net from "node:net";
import { formatHostPort } from "../../net/endpoint.ts";
import { canonicalAddress } from "../../net/network.ts";
import { asTemporary, deferred, type Failure, rejected } from "../../smtp/diagnose.ts";
import type { DnsAnswer, MxRecord } from "../dns/answer.ts";

/** Most hosts of one attempt, and most addresses of all of them: a domain may have a hundred MX records. */
export const maxHosts = 5;
export const maxAddresses = 10;

export interface MxHost {
  name: string;
  preference: number;
}

export type MxDecision =
  | {
      kind: "hosts";
      /** In the order to try them. */
      hosts: MxHost[];
      /** Whether the MX records (or their absence) were DNSSEC-validated, as RFC 7672 and RFC 8689 require. */
      authenticated: boolean;
      /** No MX record: the domain is its own host. */
      implicit: boolean;
    }
  | Failure;

/**
 * The hosts of a domain from its MX records.
 * @param ownName  the gateway's own host name
 * @param random   0..1, spreads the load over equal preferences
 */
export function decideMx(
  domain: string,
  answer: DnsAnswer<MxRecord>,
  ownName: string,
  random: () => number,
  atMs: number,
): MxDecision {
  const own = ownName.toLowerCase().replace(/\.$/, "");
  switch (answer.kind) {
    case "unavailable":
      return cannotFind(`the mail servers of ${domain}`, answer, atMs);
    case "nxdomain":
      return rejected("dns", "5.1.2", `the domain ${domain} does not exist`, atMs);
    case "nodata":
      if (domain === own) return looped(domain, ownName, atMs);
      // RFC 5321 §5.1: the implicit MX, only where there is no MX record at all.
      return {
        kind: "hosts",
        hosts: [{ name: domain, preference: 0 }],
        authenticated: answer.authenticated,
        implicit: true,
      };
    case "found":
      break;
  }
  // RFC 7505 §3: a null MX must be the only record; beside others it is ignored.
  const named = answer.records.filter((record) => record.exchange !== "");
  if (named.length === 0) {
    return rejected("dns", "5.1.10", `the domain ${domain} does not accept mail (null MX)`, atMs);
  }
  // RFC 5321 §5.1: drop the gateway itself and all hosts that are not preferred to it, or mail would loop.
  const ownPreference = Math.min(
    ...named.filter((record) => record.exchange === own).map((record) => record.preference),
  );
  const better = named.filter((record) => record.preference < ownPreference);
  if (better.length === 0) return looped(domain, ownName, atMs);
  return {
    kind: "hosts",
    hosts: inOrderOfPreference(better, random),
    authenticated: answer.authenticated,
    implicit: false,
  };
}

function looped(domain: string, ownName: string, atMs: number): Failure {
  const reason = `this gateway (${ownName}) is the best mail server of ${domain}: the mail would loop back`;
  return rejected("dns", "5.4.6", reason, atMs);
}

/**
 * The failure when the best mail server of a domain has an address of this gateway.
 * @param name  the domain, or the address literal
 */
export function leadsHere(name: string, { host }: { host: string }, address: string, atMs: number): Failure {
  const server = host === address ? `[${address}]` : `${host} [${address}]`;
  return rejected("dns", "5.4.6", `the mail server of ${name}, ${server}, is this gateway itself`, atMs);
}

/** The failure when the configuration names a listener of this gateway: an error of ours is no reason to return mail. */
export function ownListener(host: string, port: number, atMs: number): Failure {
  const reason = `the configured server ${formatHostPort({ host, port })} is this gateway itself: the mail would loop back`;
  return deferred("network", asTemporary("5.4.6"), reason, atMs);
}

/** Ascending preference, equal ones shuffled (RFC 5321 §5.1); each name once, at its best preference. */
function inOrderOfPreference(records: MxRecord[], random: () => number): MxHost[] {
  const keyed = records.map((record) => ({ record, key: random() }));
  keyed.sort((a, b) => a.record.preference - b.record.preference || a.key - b.key);
  const hosts = new Map<string, MxHost>();
  for (const { record } of keyed) {
    if (!hosts.has(record.exchange)) {
      hosts.set(record.exchange, { name: record.exchange, preference: record.preference });
    }
  }
  return [...hosts.values()];
}

/** The result of looking up one host's addresses. */
export type HostAddresses =
  | { kind: "addresses"; addresses: string[] }
  /** The host has none, or does not exist. */
  | { kind: "none" }
  | ({ kind: "unavailable" } & LookupFailure);

/** Why a look-up failed. `isLocal`: no name server could be asked. */
export interface LookupFailure {
  reason: string;
  isLocal?: true;
}

/**
 * One host's addresses in the order to try them: alternating between IPv4 and IPv6, IPv4 first, since more gateways have
 * a host name and a reputation there; addresses of one family shuffled.
 */
export function decideAddresses(
  a: DnsAnswer<string>,
  aaaa: DnsAnswer<string>,
  random: () => number,
): HostAddresses {
  const v4 = a.kind === "found" ? shuffled(a.records, random) : [];
  const v6 = aaaa.kind === "found" ? shuffled(aaaa.records, random) : [];
  const addresses = interleaved(v4, v6);
  if (addresses.length > 0) return { kind: "addresses", addresses };
  // No addresses of one family, and a failed look-up of the other: the look-up failed.
  if (a.kind === "unavailable") return a;
  if (aaaa.kind === "unavailable") return aaaa;
  return { kind: "none" };
}

/**
 * Moves addresses of the other family to the end. The rest keeps its order, also host names, whose addresses are not
 * known yet.
 * @param source  the local address of the connection; absent: any, and the order stays
 */
export function sameFamilyFirst<T>(
  items: readonly T[],
  source: string | undefined,
  addressOf: (item: T) => string,
): T[] {
  if (source === undefined) return [...items];
  const otherFamily = net.isIPv6(source) ? 4 : 6;
  const isOther = (item: T) => net.isIP(addressOf(item)) === otherFamily;
  return [...items.filter((item) => !isOther(item)), ...items.filter(isOther)];
}

/** Alternates between the two lists, beginning with the first. */
export function interleaved(first: string[], second: string[]): string[] {
  const merged: string[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    for (const address of [first[i], second[i]]) if (address !== undefined) merged.push(address);
  }
  return merged;
}

/**
 * The failure when no host has an address. MX records without addresses never fall back to the domain's own address
 * (RFC 5321 §5.1).
 * @param name      the domain, or the configured host
 * @param failures  of look-ups, one for each host where one failed
 */
export function noAddress(
  name: string,
  origin: "mx" | "implicit" | "configured",
  failures: readonly LookupFailure[],
  atMs: number,
): Failure {
  const [failure] = failures;
  if (failure !== undefined) return cannotFind(`the addresses of ${name}`, failure, atMs);
  switch (origin) {
    case "mx":
      return rejected("dns", "5.4.4", `none of the mail servers of ${name} has an address`, atMs);
    case "implicit":
      return rejected("dns", "5.4.4", `the domain ${name} has neither mail servers nor an address`, atMs);
    case "configured":
      // The gateway's configuration or network is wrong, which is no reason to return mail.
      return deferred("dns", asTemporary("5.4.4"), `the configured host ${name} has no address`, atMs);
  }
}

/** @param what  "the mail servers of example.org" */
function cannotFind(what: string, { reason, isLocal }: LookupFailure, atMs: number) {
  const [failureClass, status] =
    isLocal === true ? (["local", "4.3.0"] as const) : (["dns", "4.4.3"] as const);
  return deferred(failureClass, status, `${what} cannot be found: ${reason}`, atMs);
}

/**
 * The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
 * @returns `undefined` for a domain, `"invalid"` for brackets around anything else
 */
export function addressLiteral(domain: string): { address: string } | "invalid" | undefined {
  if (!domain.startsWith("[")) return undefined;
  const match = /^\[(IPv6:)?([0-9a-f:.]+)\]$/i.exec(domain);
  const address = match?.[2] === undefined ? undefined : canonicalAddress(match[2]);
  if (match === null || address === undefined) return "invalid";
  if ((match[1] !== undefined) !== (match[2] ?? "").includes(":")) return "invalid";
  return { address };
}

function shuffled(list: readonly string[], random: () => number): string[] {
  return list
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
