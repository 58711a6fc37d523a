/** The way that one recipient's mail takes: the row of the routing table and the next hop, and how it is shown. */

import { formatHostPort } from "../net/endpoint.ts";
import { unreachable } from "../unreachable.ts";
import type { NextHop } from "./next-hop.ts";

/** The rows of the routing table whose mail goes through the queue. */
export type QueuedRow = "to-protected" | "domain-server" | "relay";

/** Every row of the routing table. */
export type Row = QueuedRow | "client-server" | "denied";

export interface Route {
  row: QueuedRow;
  nextHop: NextHop;
  /** The place in the configuration that decided: `relay.routes[0].via`. */
  setting: string;
  /** Try the far server while the client waits: `protected[].inline`. */
  inline: boolean;
}

/** Recipients, by index, that go to one next hop, and the route of the first of them. */
export interface RouteGroup {
  recipients: number[];
  route: Route;
}

/** Recipients with one next hop together, in the order of their first; mail by MX is grouped by domain. */
export function groupByNextHop(routes: readonly Route[]): RouteGroup[] {
  const [first] = routes;
  if (first === undefined) return [];
  if (routes.length === 1) return [{ recipients: [0], route: first }];
  const groups = new Map<string, RouteGroup>();
  for (const [index, route] of routes.entries()) {
    const key = nextHopKey(route.nextHop);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { recipients: [index], route });
    else group.recipients.push(index);
  }
  return [...groups.values()];
}

/** Equal for equal next hops, different for different ones. */
export function nextHopKey(nextHop: NextHop): string {
  switch (nextHop.kind) {
    case "servers": {
      const servers = nextHop.servers.map(formatHostPort).join(",");
      return `servers ${servers} ${nextHop.hide} ${nextHop.tls ?? "may"}`;
    }
    case "relay":
      return `relay ${nextHop.relay.name}`;
    case "host":
      return `host ${formatHostPort(nextHop.host)}`;
    case "mx":
      return `mx ${nextHop.domain}`;
    default:
      return unreachable(nextHop);
  }
}

/** For lists: `relay via mx example.org`, `to-protected via 203.0.113.25:25, 203.0.113.26:25`. */
export function describeRoute(route: { row: Row; nextHop: NextHop }): string {
  return `${route.row} via ${describeNextHop(route.nextHop)}`;
}

/** One line without secrets. */
export function describeNextHop(nextHop: NextHop): string {
  switch (nextHop.kind) {
    case "servers":
      return nextHop.servers.map(formatHostPort).join(", ");
    case "relay":
      return `${nextHop.relay.name} (${formatHostPort(nextHop.relay)})`;
    case "host":
      return formatHostPort(nextHop.host);
    case "mx":
      return `mx ${nextHop.domain}`;
    default:
      return unreachable(nextHop);
  }
}

/**
 * What operators may call the next hop of a route: the MX domain, the relay host's name, and each server with its port
 * and without.
 * @param text  as describeRoute gives it
 * @returns in lower case
 */
export function nextHopNames(text: string): string[] {
  const hop = text.slice(text.indexOf(" via ") + " via ".length).toLowerCase();
  if (hop.startsWith("mx ")) return [hop.slice("mx ".length)];
  const [, name, relayHost] = /^(\S+) \((.*)\)$/.exec(hop) ?? [];
  const servers = (relayHost ?? hop).split(", ").flatMap((server) => [server, withoutPort(server)]);
  return name === undefined ? servers : [name, ...servers];
}

/** The host of `host:port` or `[v6]:port`. */
function withoutPort(server: string): string {
  return server.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}
