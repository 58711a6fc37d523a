/** The addresses to try for a next hop. They are looked up host by host: a first host that answers saves the other look-ups. */

import type { HostPort } from "../../net/endpoint.ts";
import type { NextHop } from "../../routing/next-hop.ts";
import { deferred, type Failure, type Remote, rejected } from "../../smtp/diagnose.ts";
import { type DaneFinding, findTlsa, type HostAnswers } from "../tls/dane/find-tlsa.ts";
import {
  decideHost,
  type HostTls,
  policiesToLookUp,
  type StsFinding,
  type TlsRequirements,
} from "../tls/policy.ts";
import type { FoundPolicy, StsPolicies } from "../tls/sts/policies.ts";
import { listsHost } from "../tls/sts/policy.ts";
import {
  type HostLookup,
  type HostLookupDeps,
  type HostOrigin,
  lookUpHosts,
  type RankedHost,
} from "./host-lookup.ts";
import {
  addressLiteral,
  decideMx,
  type LookupFailure,
  leadsHere,
  maxAddresses,
  maxHosts,
  noAddress,
  ownListener,
  sameFamilyFirst,
} from "./hosts.ts";

/** RFC 5321 §4.5.1: where servers listen for mail. */
export const smtpPort = 25;
/** So that a host with many addresses leaves some attempts to the next. */
const maxAddressesPerHost = 4;
/** Hosts that are looked up, including those without an address and those that a TLS policy refuses. */
const maxLookups = 20;

export interface AddressDeps extends HostLookupDeps {
  sts: StsPolicies;
  /** Whether published DANE records and MTA-STS policies are followed. */
  published: { dane: boolean; mtaSts: boolean };
  /** The gateway's own name. */
  hostname: string;
  /** The port of MX hosts: 25, except in tests. */
  mxPort: number;
  /** Whether an address has had its turn: it is tried once, whatever names lead to it. Absent: none has. */
  wasTried?: (remote: Remote) => boolean;
}

export type AddressCandidate =
  | {
      kind: "address";
      remote: Remote;
      tls: HostTls;
      /** Whether the host's name is authentic: configured, DNSSEC-validated, or listed in an enforced MTA-STS policy. */
      isNameSure: boolean;
      /** No other address follows. */
      isLast: boolean;
    }
  /** A TLS policy refuses this host now; others may follow. */
  | { kind: "refused"; failure: Failure }
  /** There is no host to try. */
  | { kind: "failure"; failure: Failure };

/** The common traits of the hosts of a next hop. */
interface HostGroup {
  /** For people. */
  name: string;
  origin: HostOrigin;
  requirements: TlsRequirements;
  /** Whether the host names are authentic: configured, or from DNSSEC-validated MX records. */
  areNamesSure: boolean;
  /** Further names that a certificate of a DANE trust anchor may have (RFC 7672 §3.2.3). */
  names: string[];
  stsOf: (host: string) => StsFinding;
}

/**
 * Yields every address to try, in order; or one failure, when there is none.
 * @param source  the client's address, when the delivery comes from it (`hide`): only servers of its family can see it,
 *                so these come first
 */
export function deliveryAddresses(
  nextHop: NextHop,
  requirements: TlsRequirements,
  deps: AddressDeps,
  source?: string,
): AsyncGenerator<AddressCandidate> {
  switch (nextHop.kind) {
    case "relay":
      return configured([nextHop.relay], requirements, deps);
    case "host":
      return configured([nextHop.host], requirements, deps);
    case "servers":
      return configured(
        sameFamilyFirst(nextHop.servers, source, ({ host }) => host),
        requirements,
        deps,
        source,
      );
    case "mx":
      return byMx(nextHop.domain, requirements, deps);
  }
}

async function* byMx(
  domain: string,
  requirements: TlsRequirements,
  deps: AddressDeps,
): AsyncGenerator<AddressCandidate> {
  const { resolver, sts, published, ownEndpoints, mxPort, hostname, random, now } = deps;
  const literal = addressLiteral(domain);
  if (literal === "invalid") {
    const reason = `${domain} is not an address literal that can be reached`;
    return yield { kind: "failure", failure: rejected("dns", "5.1.2", reason, now()) };
  }
  if (literal !== undefined) {
    const { address } = literal;
    if (ownEndpoints.isOwnMailServer({ address, port: mxPort })) {
      return yield { kind: "failure", failure: leadsHere(domain, { host: address }, address, now()) };
    }
    return yield* configured([{ host: address, port: mxPort }], requirements, deps);
  }
  const [answer, policy] = await Promise.all([
    resolver.mx(domain),
    policiesToLookUp(requirements, published).mtaSts ? sts.find(domain) : notLookedUp,
  ]);
  const decision = decideMx(domain, answer, hostname, random, now());
  if (decision.kind !== "hosts") return yield { kind: "failure", failure: decision };
  const areNamesSure = decision.authenticated;
  if (
    requirements.requireTls &&
    !areNamesSure &&
    !(policy.kind === "policy" && policy.policy.mode === "enforce")
  ) {
    const reason = `REQUIRETLS: the mail servers of ${domain} cannot be trusted without DNSSEC or MTA-STS`;
    return yield { kind: "failure", failure: rejected("dns", "5.7.30", reason, now()) };
  }
  const hosts = decision.hosts.map(({ name, preference }) => ({ host: name, port: mxPort, preference }));
  const alias = answer.kind === "found" && answer.alias !== undefined ? [answer.alias] : [];
  const origin = decision.implicit ? "implicit" : "mx";
  const group: HostGroup = {
    name: domain,
    origin,
    requirements,
    areNamesSure,
    names: [domain, ...alias],
    stsOf: stsOf(policy),
  };
  yield* addressesOf(hosts, group, deps);
}

const notLookedUp: FoundPolicy = { kind: "none", reason: "it is switched off" };

function stsOf(found: FoundPolicy): (host: string) => StsFinding {
  if (found.kind === "none") return () => found;
  const { policy } = found;
  const { mode } = policy;
  // RFC 8461 §5: mode none counts as no policy.
  if (mode === "none") return () => ({ kind: "none", reason: "the domain has ended its policy" });
  return (host) => ({ kind: "policy", mode, listsHost: listsHost(policy, host) });
}

function configured(
  hosts: HostPort[],
  requirements: TlsRequirements,
  deps: AddressDeps,
  source?: string,
): AsyncGenerator<AddressCandidate> {
  const name = hosts.map(({ host }) => host).join(", ");
  const stsOf = (): StsFinding => ({ kind: "none", reason: "it speaks of the MX hosts of a domain only" });
  const group: HostGroup = { name, origin: "configured", requirements, areNamesSure: true, names: [], stsOf };
  const inOrder = hosts.map((host, preference) => ({ ...host, preference }));
  return addressesOf(inOrder, group, deps, source);
}

async function* addressesOf(
  hosts: RankedHost[],
  group: HostGroup,
  deps: AddressDeps,
  source?: string,
): AsyncGenerator<AddressCandidate> {
  const { now } = deps;
  let tried = 0;
  let triedHosts = 0;
  let isRefused = false;
  let wasTried = false;
  const failures: LookupFailure[] = [];
  const candidates = hosts.slice(0, maxLookups);
  const last = candidates.at(-1);
  for await (const lookup of lookUpHosts(candidates, group.origin, deps)) {
    const { host, port, preference, found } = lookup;
    if (found.kind === "own") {
      // Preferred hosts were tried or could not be looked up: the mail waits for them.
      if (tried > 0 || isRefused || wasTried || failures.length > 0) break;
      return yield { kind: "failure", failure: leadsHere(group.name, lookup, found.address, now()) };
    }
    if (found.kind === "unavailable") failures.push(found);
    if (found.kind !== "addresses") continue;
    const others = found.addresses.filter((address) => !deps.ownEndpoints.isOwnListener({ address, port }));
    if (others.length === 0) {
      isRefused = true;
      yield { kind: "refused", failure: ownListener(host, port, now()) };
      continue;
    }
    const untried = others.filter((address) => deps.wasTried?.({ host, address, port }) !== true);
    if (untried.length === 0) {
      wasTried = true;
      continue;
    }
    const decision = await decideTls(lookup, group, deps);
    if (decision.kind === "refused") {
      isRefused = true;
      yield decision;
      continue;
    }
    triedHosts++;
    const { tls, isNameSure } = decision;
    const inOrder = sameFamilyFirst(untried, source, (address) => address);
    const some = inOrder.slice(0, maxAddressesPerHost);
    const isLastHost = preference === last?.preference && host === last.host;
    for (const address of some) {
      if (tried === maxAddresses) return;
      tried++;
      const isLast = isLastHost && address === some.at(-1);
      yield { kind: "address", remote: { host, address, port }, tls, isNameSure, isLast };
    }
    if (triedHosts === maxHosts) return;
  }
  if (tried > 0 || isRefused || wasTried) return;
  if (hosts.length > maxLookups && failures.length === 0)
    failures.push({ reason: `the first ${maxLookups} have none` });
  yield { kind: "failure", failure: noAddress(group.name, group.origin, failures, now()) };
}

type TlsDecision =
  | { kind: "tls"; tls: HostTls; isNameSure: boolean }
  | Extract<AddressCandidate, { kind: "refused" }>;

/** The TLS that the host must have, by what its domain and it have published; or why it gets no mail now. */
async function decideTls(
  { host, port, answers }: HostLookup,
  group: HostGroup,
  deps: AddressDeps,
): Promise<TlsDecision> {
  const { requirements } = group;
  const dane = await daneOf(host, port, answers, group, deps);
  const sts = group.stsOf(host);
  const decision = decideHost(requirements.level, { dane, sts }, group.names);
  if (decision.kind === "refused") {
    const { status, cannotTell } = decision;
    const failureClass = decision.isLocal === true ? "local" : cannotTell ? "dns" : "network";
    const reason = `${host}: ${decision.reason}`;
    // RFC 8689 §4.2.1: a host without a trusted name will not have one later either.
    const failure =
      requirements.requireTls && !cannotTell
        ? rejected("5xx", "5.7.30", reason, deps.now())
        : deferred(failureClass, status, reason, deps.now());
    return { kind: "refused", failure };
  }
  const isNameSure = group.areNamesSure || (sts.kind === "policy" && sts.mode === "enforce" && sts.listsHost);
  return { kind: "tls", tls: decision.tls, isNameSure };
}

async function daneOf(
  host: string,
  port: number,
  answers: HostAnswers | undefined,
  { requirements, areNamesSure }: HostGroup,
  { resolver, published }: AddressDeps,
): Promise<DaneFinding> {
  if (!policiesToLookUp(requirements, published).dane) return { kind: "none", reason: "it is switched off" };
  if (!areNamesSure) return { kind: "none", reason: "DNSSEC does not vouch for the MX records" };
  if (answers === undefined) return { kind: "none", reason: "its address is not from the DNS" };
  return findTlsa(host, port, answers, resolver);
}
