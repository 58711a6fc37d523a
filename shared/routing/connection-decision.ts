/** What happens to a connection: its direction, and what its listener does with it. Pure. */
import type { Config, ListenerConfig } from "../config/schema.ts";
import type { Direction } from "../mail/client-connection.ts";
import type { Endpoint } from "../net/endpoint.ts";
import { NetworkSet } from "../net/network-set.ts";
import type { NextHop } from "./next-hop.ts";
import { endpointKey, type ProtectedServers } from "./protected.ts";

export type Handler =
  /** Carries the session to the server that the client chose, without the queue. */
  | "outgoing-proxy"
  /** A session of the gateway; each recipient is classified by itself. */
  | "queue"
  /** A plain TCP tunnel to the original destination; nothing is read. */
  | "tunnel"
  /** Closed at once, without a greeting. */
  | "drop"
  /** Refused with a reply. */
  | "reject";

export interface ConnectionFacts {
  client: Endpoint;
  /** The original destination, its address in canonical text. */
  destination: Endpoint;
  /** The listener's name. */
  listener: string;
  /** The addresses on this machine's interfaces, in canonical text. */
  ownAddresses: ReadonlySet<string>;
  /** The PROXY header said LOCAL or UNKNOWN: the connection was made to the gateway itself. */
  withoutDestination?: boolean;
}

/** What a listener does with a connection, and the place in the configuration that decided. */
export interface Handling {
  handler: Handler;
  /** The row, where the connection alone decides it. */
  row: "client-server" | null;
  setting: string;
}

export interface ConnectionDecision extends Handling {
  direction: Direction;
  client: Endpoint;
  destination: Endpoint;
  /** For `outgoing-proxy` and `tunnel`. */
  nextHop: (NextHop & { kind: "servers" }) | null;
  /** On a listener with `shadow`: how the connection would be handled without it. */
  instead?: Handling;
}

/** A destination is a protected server's when address and port match; that wins over local. */
export function directionOf(
  facts: ConnectionFacts,
  listener: ListenerConfig,
  servers: ProtectedServers,
): Direction {
  if (facts.withoutDestination) return "local";
  if (servers.has(endpointKey(facts.destination))) return "incoming";
  const isLocal = listener.destination === "self" || facts.ownAddresses.has(facts.destination.address);
  return isLocal ? "local" : "outgoing";
}

export function handle(
  direction: Direction,
  facts: ConnectionFacts,
  { config, exceptions }: { config: Config; exceptions: readonly CompiledException[] },
  listener: ListenerConfig,
  index: number,
): Handling {
  const setting = `listeners[${index}].pickup.${direction}`;
  const pickup = listener.pickup[direction];
  switch (pickup) {
    case "pass":
      return { handler: "tunnel", row: null, setting };
    case "drop":
      return { handler: "drop", row: null, setting };
    case "reject":
      return { handler: "reject", row: null, setting };
    case "allow":
      return { handler: "queue", row: null, setting };
    default:
      if (isPassPort(direction, facts, config, listener))
        return { handler: "tunnel", row: null, setting: "intercept.pass_ports" };
      return direction === "outgoing"
        ? handleOutgoing(facts, config.outgoing, exceptions)
        : { handler: "queue", row: null, setting };
  }
}

/**
 * Ports of other servers that are only tunnelled: they speak TLS from the first octet. A local connection has a server of
 * its own there only where the kernel handed it over; elsewhere the tunnel would lead to the gateway itself.
 */
function isPassPort(
  direction: Direction,
  facts: ConnectionFacts,
  config: Config,
  { destination }: ListenerConfig,
): boolean {
  const isIntercepted = destination === "tproxy" || destination === "redirect";
  return (
    (isIntercepted || direction !== "local") && config.intercept.pass_ports.includes(facts.destination.port)
  );
}

/** The networks of an exception; absent: all. */
export interface CompiledException {
  clients: NetworkSet | undefined;
  servers: NetworkSet | undefined;
}

export function compileExceptions({ exceptions }: Config["outgoing"]): CompiledException[] {
  return exceptions.map(({ clients, servers }) => ({
    clients: clients && new NetworkSet(clients),
    servers: servers && new NetworkSet(servers),
  }));
}

/** By `client_server` of the first exception that matches, or else of `outgoing`. */
function handleOutgoing(
  facts: ConnectionFacts,
  outgoing: Config["outgoing"],
  exceptions: readonly CompiledException[],
): Handling {
  const found = exceptions.findIndex(
    ({ clients, servers }) =>
      (clients === undefined || clients.contains(facts.client.address)) &&
      (servers === undefined || servers.contains(facts.destination.address)),
  );
  const exception = outgoing.exceptions[found];
  const setting =
    exception === undefined ? "outgoing.client_server" : `outgoing.exceptions[${found}].client_server`;
  return (exception ?? outgoing).client_server === "permit"
    ? { handler: "outgoing-proxy", row: "client-server", setting }
    : { handler: "queue", row: null, setting };
}

export function chosenServer({ address, port }: Endpoint, hide: boolean): NextHop & { kind: "servers" } {
  return { kind: "servers", servers: [{ host: address, port }], hide };
}
