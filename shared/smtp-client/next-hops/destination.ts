/** Which limits and which TLS level hold for a destination, and which connections may be shared. Pure. */

import type { Config } from "../../config/schema.ts";
import { type Rate, rateOf } from "../../config/values.ts";
import { canonicalDomain } from "../../mail/domain.ts";
import { literalAddress } from "../../net/network.ts";
import {
  identifyNextHop,
  type NextHop,
  type NextHopIdentity,
  type TlsLevel,
} from "../../routing/next-hop.ts";
import type { Remote } from "../../smtp/diagnose.ts";
import type { TlsRequirements } from "../tls/policy.ts";

export interface DestinationLimits {
  /** At once. */
  connections: number;
  messagesPerConnection: number;
  rate?: Rate;
}

/** For keys that an entry of `limits.destinations` leaves out; equal to its default entry. */
const usualConnections = 20;
const usualMessagesPerConnection = 100;

/**
 * The operator's TLS level for a next hop: its own, or else that of the first entry of `delivery.tls` that matches.
 * MTA-STS is for MX hosts only (RFC 8461 §1): a host that a route names needs what a policy would require, a valid
 * certificate.
 */
export function tlsLevels(entries: Config["delivery"]["tls"]): (nextHop: NextHop) => TlsLevel {
  const prepared = entries.map(({ match, policy }) => ({ matches: matcher(match), policy }));
  const levelOf = (nextHop: NextHop) => {
    const name = identifyNextHop(nextHop).limitName;
    return prepared.find(({ matches }) => matches(name))?.policy ?? "may";
  };
  return (nextHop) => {
    switch (nextHop.kind) {
      case "relay":
        return nextHop.relay.tls;
      case "servers":
        return nextHop.tls ?? "may";
      case "host": {
        const level = levelOf(nextHop);
        return level === "mta-sts" ? "verify" : level;
      }
      case "mx":
        return levelOf(nextHop);
    }
  };
}

/** Messages may share a connection when these are equal. */
export interface ConnectionTraits {
  /** REQUIRETLS needs sessions with authentic host names; sessions that ignored published policies serve no other mail. */
  tls: TlsRequirements;
  helo: string;
  /** The address of a hidden delivery, or "". */
  source: string;
}

export function connectionKey(nextHop: NextHopIdentity, { tls, helo, source }: ConnectionTraits): string {
  const { level, requireTls, ignoresPublished } = tls;
  const flags = `${requireTls ? "+requiretls" : ""}${ignoresPublished ? "+ignores" : ""}`;
  return `${nextHop.connectionKey} ${level}${flags} ${helo} ${source}`;
}

/**
 * Identifies what has to answer for a destination to be alive: its hosts, and the source, since there may be no route back
 * to the address of one client. Inline deliveries have an entry of their own: a server that greets too slowly for a client
 * that waits may be quick enough for the queue.
 */
export function reachabilityKeyOf(
  { hostsKey }: NextHopIdentity,
  traits: {
    /** The address of a hidden delivery, or "". */
    source: string;
    isInline: boolean;
  },
): string {
  const source = traits.source === "" ? "" : ` from ${traits.source}`;
  return `${hostsKey}${source}${traits.isInline ? " inline" : ""}`;
}

/** Compiles `limits.destinations`: the first entry that matches decides. */
export function destinationLimits(
  entries: Config["limits"]["destinations"],
): (destination: string) => DestinationLimits {
  const prepared = entries.map((entry) => {
    const rate = rateOf(entry);
    const limits = {
      connections: entry.connections ?? usualConnections,
      messagesPerConnection: entry.messages_per_connection ?? usualMessagesPerConnection,
      ...(rate === undefined ? {} : { rate }),
    };
    return { matches: matcher(entry.match), limits };
  });
  const usual = { connections: usualConnections, messagesPerConnection: usualMessagesPerConnection };
  return (destination) => prepared.find(({ matches }) => matches(destination))?.limits ?? usual;
}

/** The connections of a host, which may be the mail server of many domains. */
export interface HostLimit {
  /** The name that they are counted under. */
  name: string;
  /** At once. */
  connections: number;
}

/** A destination by the name that its connections are counted under. */
export interface Destination {
  name: string;
  limits: DestinationLimits;
}

/**
 * Compiles `limits.destinations` for hosts. The first entry that names the host, or else its address, decides; else the
 * address may have as many connections as an entry for `*` says, or the destination.
 */
export function hostLimits(
  entries: Config["limits"]["destinations"],
): (remote: Pick<Remote, "host" | "address">, destination: Destination) => HostLimit {
  const named = destinationLimits(entries.filter(({ match }) => match !== "*"));
  const names = entries.filter(({ match }) => match !== "*").map(({ match }) => matcher(match));
  const any = destinationLimits(entries.filter(({ match }) => match === "*"));
  return (remote, { name: destination, limits }) => {
    const host = remote.host.toLowerCase();
    const { address } = remote;
    // The destination's own slot counts it already.
    if (destination === host || destination === address)
      return { name: destination, connections: limits.connections };
    const name = [host, address].find((each) => names.some((matches) => matches(each)));
    if (name !== undefined) return { name, connections: named(name).connections };
    return { name: address, connections: Math.max(any(address).connections, limits.connections) };
  };
}

/** Matches `*`, a name, `*.domain` for all below it, or an address in any spelling. */
function matcher(match: string): (destination: string) => boolean {
  if (match === "*") return () => true;
  const address = literalAddress(match);
  if (address !== undefined) return (destination) => literalAddress(destination) === address;
  if (!match.startsWith("*.")) {
    const domain = canonicalDomain(match);
    return (destination) => destination === domain;
  }
  const suffix = `.${canonicalDomain(match.slice(2))}`;
  return (destination) => destination.endsWith(suffix);
}
