/**
 * The routing table: what happens to a connection, and which row and next hop each recipient gets. Sessions, delivery
 * workers and `postern explain` all use it. Pure.
 */
import type { Config, ListenerConfig } from "../config/schema.ts";
import type { ClientConnection, Direction } from "../mail/client-connection.ts";
import type { MessageMeta } from "../mail/message.ts";
import type { Endpoint } from "../net/endpoint.ts";
import { NetworkSet } from "../net/network-set.ts";
import type { EnhancedStatus } from "../smtp/status.ts";
import { type Mailbox, readMailbox } from "./mailbox.ts";
import type { NextHop } from "./next-hop.ts";
import {
  compileProtectedDomains,
  compileProtectedServers,
  endpointKey,
  type ProtectedServers,
} from "./protected.ts";
import { compileRelayRoutes, type RelayRoute, type RelayRoutes } from "./relay-routes.ts";
import type { Route } from "./route.ts";

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

export interface RecipientFacts {
  /** `""` is the null reverse-path. */
  reversePath: string;
  /** Without angle brackets. */
  recipient: string;
  /** The client has authenticated. */
  authenticated?: boolean;
  /** The client could have. */
  mayAuthenticate?: boolean;
  /** The forward-path had a source route, which was removed. */
  sourceRoute?: boolean;
}

export interface DeniedRecipient {
  row: "denied";
  nextHop: null;
  setting: string;
  reply: { code: number; status: EnhancedStatus; text: string };
}

/**
 * `address` is the recipient to store: without a source route, and that of `postmaster` for the gateway's own.
 * @property isPostmaster  anybody may write to it, also with a forged sender: nothing is reported about it to the sender
 */
export type RecipientDecision = (Route & { address: string; isPostmaster?: true }) | DeniedRecipient;

/** The facts of a message's connection that routing needs; `null` for messages of the gateway itself. */
export type RouteOrigin = { direction: Direction; destination: Endpoint } | null;

export interface Routing {
  /** @throws Error when the configuration has no such listener */
  classifyConnection(facts: ConnectionFacts): ConnectionDecision;
  /** For connections that the queue handles. */
  classifyRecipient(
    connection: Pick<ClientConnection, "client" | "direction" | "destination">,
    facts: RecipientFacts,
  ): RecipientDecision;
  /** The route of accepted mail, by the current configuration. */
  routeRecipient(origin: RouteOrigin, reversePath: string, recipient: string): Route;
  /** The route by `relay.backup`, for recipients of the relay row; `undefined` when there is none. */
  backupRoute(recipient: string): RelayRoute | undefined;
}

const relayingDenied: DeniedRecipient = {
  row: "denied",
  nextHop: null,
  setting: "relay.clients",
  reply: { code: 550, status: "5.7.1", text: "Relaying denied" },
};

/** RFC 5321 §4.5.1 wants a postmaster who reads the mail: where none is named, nobody would. */
const noPostmaster: DeniedRecipient = {
  row: "denied",
  nextHop: null,
  setting: "postmaster",
  reply: { code: 550, status: "5.1.1", text: "This gateway has no postmaster" },
};

const loginNeeded: DeniedRecipient = {
  ...relayingDenied,
  reply: { code: 550, status: "5.7.1", text: "Relaying denied: authenticate first" },
};

/** RFC 5321 §2.3.5: only `postmaster` may stand without a domain. */
const domainMissing: DeniedRecipient = {
  row: "denied",
  nextHop: null,
  setting: "hostname",
  reply: { code: 553, status: "5.1.3", text: "The recipient address has no domain" },
};

/** Compiles the tables of a configuration once. */
export function compileRouting(config: Config): Routing {
  const hostname = config.hostname.toLowerCase();
  const listeners = new Map(config.listeners.map((listener, index) => [listener.name, { listener, index }]));
  const servers = compileProtectedServers(config);
  const domains = compileProtectedDomains(config);
  const relayRoutes = compileRelayRoutes(config.relay);

  const relayClients = new NetworkSet(config.relay.clients);
  const exceptions = compileExceptions(config.outgoing);

  // A session asks once for each recipient, always with the same connection.
  const mayRelayCache = new WeakMap<object, boolean>();
  function mayRelay(connection: Pick<ClientConnection, "client">): boolean {
    let answer = mayRelayCache.get(connection);
    if (answer === undefined) {
      answer = relayClients.contains(connection.client.address);
      mayRelayCache.set(connection, answer);
    }
    return answer;
  }

  function route(origin: RouteOrigin, reversePath: string, recipient: Mailbox): Route {
    const protectedRoute = domains.find(recipient.domain);
    if (protectedRoute !== undefined) return protectedRoute;
    if (origin?.direction === "incoming") {
      const ownServer = servers.get(endpointKey(origin.destination))?.route;
      if (ownServer !== undefined) return ownServer;
    }
    return relay(relayRoutes, hostname, reversePath, recipient);
  }

  /** The mailbox that takes the mail for the gateway's own postmaster. */
  const postmaster = config.postmaster === undefined ? undefined : readMailbox(config.postmaster, hostname);

  /** Whether `postmaster` decides. A protected domain of the gateway's name has a postmaster of its own. */
  function isForPostmaster({ isOwnPostmaster }: Mailbox, recipient: string): boolean {
    if (!isOwnPostmaster) return false;
    const isUnqualified = !recipient.includes("@");
    return domains.find(hostname) === undefined || (isUnqualified && postmaster !== undefined);
  }

  return {
    classifyConnection(facts) {
      const found = listeners.get(facts.listener);
      if (found === undefined) throw new Error(`the configuration has no listener ${facts.listener}`);
      const direction = directionOf(facts, found.listener, servers);
      const handling = handle(direction, facts, { config, exceptions }, found.listener, found.index);
      const decision = {
        direction,
        destination: facts.destination,
        client: facts.client,
      };
      const hide =
        direction === "incoming"
          ? servers.get(endpointKey(facts.destination))?.hide === true
          : direction === "outgoing" && config.outgoing.hide;
      // A local connection has no other server to be tunnelled to.
      if (found.listener.shadow && direction !== "local") {
        const nextHop = chosenServer(facts.destination, hide);
        const setting = `listeners[${found.index}].shadow`;
        return { ...decision, handler: "tunnel", row: null, setting, nextHop, instead: handling };
      }
      const nextHop =
        handling.handler === "outgoing-proxy" || handling.handler === "tunnel"
          ? chosenServer(facts.destination, hide)
          : null;
      return { ...decision, ...handling, nextHop };
    },

    classifyRecipient(connection, facts) {
      const { reversePath, recipient, authenticated = false, sourceRoute = false } = facts;
      const mailbox = readMailbox(recipient, hostname);
      if (mailbox.domain === "") return domainMissing;
      const denied = facts.mayAuthenticate === true ? loginNeeded : relayingDenied;
      const isStranger = !authenticated && !mayRelay(connection);
      if (isStranger && (mailbox.hasSenderRouting || sourceRoute)) return denied;
      if (isForPostmaster(mailbox, recipient)) {
        if (postmaster === undefined) return noPostmaster;
        // RFC 5321 §4.5.1: anybody may write to the postmaster.
        const { address } = postmaster;
        return { ...route(connection, reversePath, postmaster), address, isPostmaster: true };
      }
      const chosen = route(connection, reversePath, mailbox);
      if (isStranger && chosen.row !== "to-protected") return denied;
      return { ...chosen, address: mailbox.address };
    },

    routeRecipient(origin, reversePath, recipient) {
      const mailbox = readMailbox(recipient, hostname);
      return route(origin, reversePath, mailbox.domain === "" ? { ...mailbox, domain: hostname } : mailbox);
    },

    backupRoute(recipient) {
      return relayRoutes.findBackup(readMailbox(recipient, hostname));
    },
  };
}

/** The route of one recipient of a stored message, by the current configuration. */
export function routeOf(
  routing: Pick<Routing, "routeRecipient">,
  { origin, envelope }: Pick<MessageMeta, "origin" | "envelope">,
  recipient: number,
): Route {
  const address = envelope.recipients[recipient]?.address ?? "";
  return routing.routeRecipient(origin?.connection ?? null, envelope.reversePath, address);
}

function relay(routes: RelayRoutes, hostname: string, reversePath: string, recipient: Mailbox): Route {
  const sender = reversePath === "" ? null : readMailbox(reversePath, hostname);
  const { nextHop, setting } = routes.find(sender, recipient);
  return { row: "relay", nextHop, setting, inline: false };
}

function directionOf(facts: ConnectionFacts, listener: ListenerConfig, servers: ProtectedServers): Direction {
  if (facts.withoutDestination) return "local";
  if (servers.has(endpointKey(facts.destination))) return "incoming";
  const isLocal = listener.destination === "self" || facts.ownAddresses.has(facts.destination.address);
  return isLocal ? "local" : "outgoing";
}

function handle(
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
interface CompiledException {
  clients: NetworkSet | undefined;
  servers: NetworkSet | undefined;
}

function compileExceptions({ exceptions }: Config["outgoing"]): CompiledException[] {
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

function chosenServer({ address, port }: Endpoint, hide: boolean): NextHop & { kind: "servers" } {
  return { kind: "servers", servers: [{ host: address, port }], hide };
}
