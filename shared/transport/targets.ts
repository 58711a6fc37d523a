/** The addresses to try for a next hop, looked up host by host as they are needed: a good first host costs no more. */
import { canonicalAddress } from "../config/network.ts";
import type { HostPort, NextHop } from "../routing/next-hop.ts";
import { deferred, type Failure, type Remote, rejected } from "../smtp/diagnose.ts";
import type { Resolver } from "./dns/resolver.ts";
import type { HostsFile } from "./dns/system.ts";
import {
  addressLiteral,
  decideAddresses,
  decideMx,
  type HostAddresses,
  maxAddresses,
  maxHosts,
  noAddress,
} from "./hosts.ts";

/** RFC 5321 §4.5.1: where servers listen for mail. */
export const smtpPort = 25;
/** So that one host with many addresses leaves some tries to the next. */
const maxAddressesPerHost = 4;

export interface TargetMakings {
  resolver: Resolver;
  hostsFile: HostsFile;
  /** The gateway's own name. */
  hostname: string;
  /** Where the hosts of `mx` listen: 25, but for tests. */
  mxPort: number;
  random: () => number;
  now: () => number;
}

export type Target = { kind: "address"; remote: Remote } | { kind: "failure"; failure: Failure };

/**
 * Every address to try, in order; or one failure, when there is none.
 * @param requireTls  REQUIRETLS: the way to the hosts must be DNSSEC-validated too (RFC 8689 §4.2.1)
 */
export async function* targets(
  nextHop: NextHop,
  requireTls: boolean,
  makings: TargetMakings,
): AsyncGenerator<Target> {
  switch (nextHop.kind) {
    case "relay":
      return yield* configured([nextHop.relay], makings);
    case "host":
      return yield* configured([nextHop.host], makings);
    case "servers":
      return yield* configured(nextHop.servers, makings);
    case "mx":
      return yield* byMx(nextHop.domain, requireTls, makings);
  }
}

async function* byMx(domain: string, requireTls: boolean, makings: TargetMakings): AsyncGenerator<Target> {
  const { resolver, mxPort, hostname, random, now } = makings;
  const literal = addressLiteral(domain);
  if (literal === "invalid") {
    const reason = `${domain} is not an address literal that can be reached`;
    return yield { kind: "failure", failure: rejected("dns", "5.1.2", reason, now()) };
  }
  if (literal !== undefined) {
    const { address } = literal;
    return yield { kind: "address", remote: { host: address, address, port: mxPort } };
  }
  const decision = decideMx(domain, await resolver.mx(domain), hostname, random, now());
  if (decision.kind !== "hosts") return yield { kind: "failure", failure: decision };
  if (requireTls && !decision.authenticated) {
    const reason = `REQUIRETLS: the mail servers of ${domain} cannot be trusted without DNSSEC`;
    return yield { kind: "failure", failure: rejected("dns", "5.7.30", reason, now()) };
  }
  const hosts = decision.hosts.map(({ name }) => ({ host: name, port: mxPort }));
  yield* addressesOf(hosts, domain, decision.implicit ? "implicit" : "mx", makings, false);
}

function configured(hosts: HostPort[], makings: TargetMakings): AsyncGenerator<Target> {
  const name = hosts.map(({ host }) => host).join(", ");
  return addressesOf(hosts, name, "configured", makings, true);
}

async function* addressesOf(
  hosts: HostPort[],
  name: string,
  how: "mx" | "implicit" | "configured",
  makings: TargetMakings,
  isConfigured: boolean,
): AsyncGenerator<Target> {
  let tried = 0;
  const reasons: string[] = [];
  for (const { host, port } of hosts.slice(0, maxHosts)) {
    const found = await addresses(host, isConfigured, makings);
    if (found.kind === "unavailable") reasons.push(found.reason);
    if (found.kind !== "addresses") continue;
    for (const address of found.addresses.slice(0, maxAddressesPerHost)) {
      if (tried === maxAddresses) return;
      tried++;
      yield { kind: "address", remote: { host, address, port } };
    }
  }
  if (tried === 0) yield { kind: "failure", failure: noAddress(name, how, reasons, makings.now()) };
}

/** Only what the configuration names may be an address or stand in the hosts file: an MX names a host in the DNS. */
async function addresses(
  host: string,
  isConfigured: boolean,
  { resolver, hostsFile, random, now }: TargetMakings,
): Promise<HostAddresses> {
  if (isConfigured) {
    const address = canonicalAddress(host);
    if (address !== undefined) return { kind: "addresses", addresses: [address] };
    const listed = hostsFile.addresses(host, now());
    if (listed.length > 0) return { kind: "addresses", addresses: listed };
  }
  const [a, aaaa] = await Promise.all([resolver.a(host), resolver.aaaa(host)]);
  return decideAddresses(a, aaaa, random);
}

/** A failure that only tells why the tries are over. */
export function stopped(atMs: number): Failure {
  return deferred("local", "4.3.2", "the attempt was stopped", atMs);
}
