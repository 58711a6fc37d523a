/** What a next hop is called, which limits hold for it, and which connections may be shared. Pure. */

import type { Config } from "../../config/schema.ts";
import type { Rate } from "../../config/values.ts";
import { literalAddress } from "../../net/network.ts";
import { canonicalDomain } from "../../routing/mailbox.ts";
import type { NextHop, TlsLevel } from "../../routing/next-hop.ts";
import type { TlsRequirements } from "../tls/policy.ts";

export interface DestinationLimits {
  /** At once. */
  connections: number;
  messagesPerConnection: number;
  rate?: Rate;
}

/** Where an entry of `limits.destinations` says nothing: as its default entry. */
const usualConnections = 20;
const usualMessagesPerConnection = 100;

/** The name that limits, logs and metrics know a next hop by: the domain, the relay host, the first server. */
export function destinationName(nextHop: NextHop): string {
  switch (nextHop.kind) {
    case "mx":
      return nextHop.domain.toLowerCase();
    case "relay":
      return nextHop.relay.host.toLowerCase();
    case "host":
      return nextHop.host.host.toLowerCase();
    case "servers":
      return (nextHop.servers[0]?.host ?? "").toLowerCase();
  }
}

/**
 * The operator's TLS level for a next hop: its own, or else the first entry of `delivery.tls` that matches. MTA-STS speaks
 * of MX hosts only (RFC 8461 §1): a host that a route names shows what its policy would ask for, a valid certificate.
 */
export function tlsLevels(entries: Config["delivery"]["tls"]): (nextHop: NextHop) => TlsLevel {
  const prepared = entries.map(({ match, policy }) => ({ matches: matcher(match), policy }));
  const levelOf = (nextHop: NextHop) => {
    const name = destinationName(nextHop);
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

/**
 * Messages may share a connection when all this is equal.
 * @param wish  what the sessions had to show: those with REQUIRETLS were led there by names that are sure, and those that
 *              ignored what is published do for no other mail
 */
export function connectionKey(nextHop: NextHop, wish: TlsRequirements, helo: string, source: string): string {
  const { level, requireTls, ignoresPublished } = wish;
  const tls = `${level}${requireTls ? "+requiretls" : ""}${ignoresPublished ? "+ignores" : ""}`;
  return `${hostsKey(nextHop)} ${tls} ${helo} ${source}`;
}

function hostsKey(nextHop: NextHop): string {
  switch (nextHop.kind) {
    case "mx":
      return nextHop.domain.toLowerCase();
    case "relay": {
      const { host, port, auth } = nextHop.relay;
      return `${host}:${port} ${auth === undefined ? "" : JSON.stringify(auth)}`;
    }
    case "host":
      return `${nextHop.host.host}:${nextHop.host.port}`;
    case "servers":
      return nextHop.servers.map((server) => `${server.host}:${server.port}`).join();
  }
}

/** `limits.destinations`, made ready: the first entry that matches. */
export function destinationLimits(
  entries: Config["limits"]["destinations"],
): (destination: string) => DestinationLimits {
  const prepared = entries.map(({ match, connections, messages_per_connection, rate }) => ({
    matches: matcher(match),
    limits: {
      connections: connections ?? usualConnections,
      messagesPerConnection: messages_per_connection ?? usualMessagesPerConnection,
      ...(rate === undefined ? {} : { rate }),
    },
  }));
  const usual = { connections: usualConnections, messagesPerConnection: usualMessagesPerConnection };
  return (destination) => prepared.find(({ matches }) => matches(destination))?.limits ?? usual;
}

/** `*`, a name, `*.domain` for all below it, or an address, however it is written. */
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
