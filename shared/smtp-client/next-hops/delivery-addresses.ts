/** The addresses to try for a next hop, looked up host by host as they are needed: a good first host costs no more. */

import type { HostPort } from "../../net/endpoint.ts";
import { canonicalAddress } from "../../net/network.ts";
import type { NextHop } from "../../routing/next-hop.ts";
import { deferred, type Failure, type Remote, rejected } from "../../smtp/diagnose.ts";
import type { Resolver } from "../dns/resolver.ts";
import type { HostsFile } from "../dns/system.ts";
import { type DaneFinding, findTlsa, type HostAnswers } from "../tls/dane/find-tlsa.ts";
import { decideHost, type HostTls, looksFor, type StsFinding, type TlsRequirements } from "../tls/policy.ts";
import type { FoundPolicy, StsPolicies } from "../tls/sts/policies.ts";
import { listsHost } from "../tls/sts/policy.ts";
import {
  addressLiteral,
  decideAddresses,
  decideMx,
  type HostAddresses,
  maxAddresses,
  maxHosts,
  noAddress,
  sameFamilyFirst,
} from "./hosts.ts";

/** RFC 5321 §4.5.1: where servers listen for mail. */
export const smtpPort = 25;
/** So that one host with many addresses leaves some tries to the next. */
const maxAddressesPerHost = 4;
/** Hosts that are looked at, those without an address and those that a TLS policy refuses too. */
const maxLookups = 20;

export interface AddressDeps {
  resolver: Resolver;
  hostsFile: HostsFile;
  sts: StsPolicies;
  /** Whether to hold to what destinations publish. */
  published: { dane: boolean; mtaSts: boolean };
  /** The gateway's own name. */
  hostname: string;
  /** Where the hosts of `mx` listen: 25, but for tests. */
  mxPort: number;
  random: () => number;
  now: () => number;
}

export type Target =
  | {
      kind: "address";
      remote: Remote;
      tls: HostTls;
      /** Whether the host's name is known for sure: configured, or vouched for by DNSSEC or an enforced MTA-STS policy. */
      isNameSure: boolean;
      /** No other address comes behind it. */
      isLast: boolean;
    }
  /** A TLS policy says that this host gets nothing now; there may be others. */
  | { kind: "refused"; failure: Failure }
  /** There is nobody to try. */
  | { kind: "failure"; failure: Failure };

/** What holds for all hosts of a next hop. */
interface Way {
  /** For people. */
  name: string;
  how: "mx" | "implicit" | "configured";
  wish: TlsRequirements;
  /** Whether the hosts' names are known for sure: configured, or DNSSEC vouches for them. */
  isSure: boolean;
  /** What else a certificate of a DANE trust anchor may be for (RFC 7672 §3.2.3). */
  names: string[];
  stsOf: (host: string) => StsFinding;
}

/**
 * Every address to try, in order; or one failure, when there is none.
 * @param source  the client's address, when the delivery comes from it (`hide`): it can show itself only to servers of
 *                its own family, so that these come first
 */
export function deliveryAddresses(
  nextHop: NextHop,
  wish: TlsRequirements,
  deps: AddressDeps,
  source?: string,
): AsyncGenerator<Target> {
  switch (nextHop.kind) {
    case "relay":
      return configured([nextHop.relay], wish, deps);
    case "host":
      return configured([nextHop.host], wish, deps);
    case "servers":
      return configured(
        sameFamilyFirst(nextHop.servers, source, ({ host }) => host),
        wish,
        deps,
        source,
      );
    case "mx":
      return byMx(nextHop.domain, wish, deps);
  }
}

async function* byMx(domain: string, wish: TlsRequirements, deps: AddressDeps): AsyncGenerator<Target> {
  const { resolver, sts, published, mxPort, hostname, random, now } = deps;
  const literal = addressLiteral(domain);
  if (literal === "invalid") {
    const reason = `${domain} is not an address literal that can be reached`;
    return yield { kind: "failure", failure: rejected("dns", "5.1.2", reason, now()) };
  }
  if (literal !== undefined) {
    return yield* configured([{ host: literal.address, port: mxPort }], wish, deps);
  }
  const [answer, policy] = await Promise.all([
    resolver.mx(domain),
    looksFor(wish, published).mtaSts ? sts.find(domain) : unasked,
  ]);
  const decision = decideMx(domain, answer, hostname, random, now());
  if (decision.kind !== "hosts") return yield { kind: "failure", failure: decision };
  const isSure = decision.authenticated;
  if (wish.requireTls && !isSure && !(policy.kind === "policy" && policy.policy.mode === "enforce")) {
    const reason = `REQUIRETLS: the mail servers of ${domain} cannot be trusted without DNSSEC or MTA-STS`;
    return yield { kind: "failure", failure: rejected("dns", "5.7.30", reason, now()) };
  }
  const hosts = decision.hosts.map(({ name }) => ({ host: name, port: mxPort }));
  const alias = answer.kind === "found" && answer.alias !== undefined ? [answer.alias] : [];
  const how = decision.implicit ? "implicit" : "mx";
  const way: Way = { name: domain, how, wish, isSure, names: [domain, ...alias], stsOf: stsOf(policy) };
  yield* addressesOf(hosts, way, deps);
}

const unasked: FoundPolicy = { kind: "none", reason: "it is switched off" };

function stsOf(found: FoundPolicy): (host: string) => StsFinding {
  if (found.kind === "none") return () => found;
  const { policy } = found;
  const { mode } = policy;
  // RFC 8461 §5: mode none is as if there were no policy.
  if (mode === "none") return () => ({ kind: "none", reason: "the domain has ended its policy" });
  return (host) => ({ kind: "policy", mode, listsHost: listsHost(policy, host) });
}

function configured(
  hosts: HostPort[],
  wish: TlsRequirements,
  deps: AddressDeps,
  source?: string,
): AsyncGenerator<Target> {
  const name = hosts.map(({ host }) => host).join(", ");
  const stsOf = (): StsFinding => ({ kind: "none", reason: "it speaks of the MX hosts of a domain only" });
  const way: Way = { name, how: "configured", wish, isSure: true, names: [], stsOf };
  return addressesOf(hosts, way, deps, source);
}

async function* addressesOf(
  hosts: HostPort[],
  way: Way,
  deps: AddressDeps,
  source?: string,
): AsyncGenerator<Target> {
  const { now } = deps;
  let tried = 0;
  let triedHosts = 0;
  let isRefused = false;
  const reasons: string[] = [];
  const looked = hosts.slice(0, maxLookups);
  for (const [position, { host, port }] of looked.entries()) {
    if (triedHosts === maxHosts) break;
    const { found, answers } = await addresses(host, way.how === "configured", deps);
    if (found.kind === "unavailable") reasons.push(found.reason);
    if (found.kind !== "addresses") continue;
    const dane = await daneOf(host, port, answers, way, deps);
    const sts = way.stsOf(host);
    const decision = decideHost(way.wish.level, { dane, sts }, way.names);
    if (decision.kind === "refused") {
      isRefused = true;
      const { status, cannotTell } = decision;
      const reason = `${host}: ${decision.reason}`;
      // RFC 8689 §4.2.1: a host that cannot be trusted will not be later either.
      const failure =
        way.wish.requireTls && !cannotTell
          ? rejected("5xx", "5.7.30", reason, now())
          : deferred(cannotTell ? "dns" : "network", status, reason, now());
      yield { kind: "refused", failure };
      continue;
    }
    triedHosts++;
    const isNameSure = way.isSure || (sts.kind === "policy" && sts.mode === "enforce" && sts.listsHost);
    const inOrder = sameFamilyFirst(found.addresses, source, (address) => address);
    const some = inOrder.slice(0, maxAddressesPerHost);
    for (const address of some) {
      if (tried === maxAddresses) return;
      tried++;
      const isLast = position === looked.length - 1 && address === some.at(-1);
      yield { kind: "address", remote: { host, address, port }, tls: decision.tls, isNameSure, isLast };
    }
  }
  if (tried > 0 || isRefused) return;
  if (hosts.length > maxLookups && reasons.length === 0) reasons.push(`the first ${maxLookups} have none`);
  yield { kind: "failure", failure: noAddress(way.name, way.how, reasons, now()) };
}

async function daneOf(
  host: string,
  port: number,
  answers: HostAnswers | undefined,
  { wish, isSure }: Way,
  { resolver, published }: AddressDeps,
): Promise<DaneFinding> {
  if (!looksFor(wish, published).dane) return { kind: "none", reason: "it is switched off" };
  if (!isSure) return { kind: "none", reason: "DNSSEC does not vouch for the MX records" };
  if (answers === undefined) return { kind: "none", reason: "its address is not from the DNS" };
  return findTlsa(host, port, answers, resolver);
}

/** Only what the configuration names may be an address or stand in the hosts file: an MX names a host in the DNS. */
async function addresses(
  host: string,
  isConfigured: boolean,
  { resolver, hostsFile, random, now }: AddressDeps,
): Promise<{ found: HostAddresses; answers?: HostAnswers }> {
  if (isConfigured) {
    const address = canonicalAddress(host);
    if (address !== undefined) return { found: { kind: "addresses", addresses: [address] } };
    const listed = hostsFile.addresses(host, now());
    if (listed.length > 0) return { found: { kind: "addresses", addresses: listed } };
  }
  const [a, aaaa] = await Promise.all([resolver.a(host), resolver.aaaa(host)]);
  return { found: decideAddresses(a, aaaa, random), answers: { a, aaaa } };
}

/** A failure that only tells why the tries are over. */
export function stopped(atMs: number): Failure {
  return deferred("local", "4.3.2", "the attempt was stopped", atMs);
}
