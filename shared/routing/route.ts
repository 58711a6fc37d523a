/** The route of one recipient's mail: the row of the routing table and the next hop. Pure. */
import { identifyNextHop, type NextHop } from "./next-hop.ts";

/** The rows of the routing table whose mail goes through the queue. */
export type QueuedRow = "to-protected" | "domain-server" | "relay";

/** Every row of the routing table. */
export type Row = QueuedRow | "client-server" | "denied";

export interface Route {
  row: QueuedRow;
  nextHop: NextHop;
  /** The place in the configuration that decided: `relay.routes[0].via`. */
  setting: string;
  /** Deliver while the client waits: `protected[].inline`. */
  inline: boolean;
}

/** Recipients, by index, that go to one next hop, and the route of the first of them. */
export interface RouteGroup {
  recipients: number[];
  route: Route;
}

/** Groups recipients by next hop, in the order of their first; mail by MX is grouped by domain. */
export function groupByNextHop(routes: readonly Route[]): RouteGroup[] {
  const [first] = routes;
  if (first === undefined) return [];
  if (routes.length === 1) return [{ recipients: [0], route: first }];
  const groups = new Map<string, RouteGroup>();
  for (const [index, route] of routes.entries()) {
    const key = identifyNextHop(route.nextHop).groupKey;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { recipients: [index], route });
    else group.recipients.push(index);
  }
  return [...groups.values()];
}

/** A route as jobs carry it. */
export interface RouteSummary {
  /** One line for people: `relay via mx example.org`, `to-protected via 203.0.113.25:25, 203.0.113.26:25`. */
  label: string;
  /** The names of the next hop that holds are matched against; see NextHopIdentity. */
  aliases: string[];
}

export function summarizeRoute({ row, nextHop }: Pick<Route, "row" | "nextHop">): RouteSummary {
  const { label, aliases } = identifyNextHop(nextHop);
  return { label: `${row} via ${label}`, aliases };
}
