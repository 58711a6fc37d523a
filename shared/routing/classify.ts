/**
 * The routing table: what happens to a connection, and which row and next hop each recipient gets. Sessions, delivery
 * workers and `postern explain` all use it. Pure.
 */
import type { Config } from "../config/schema.ts";
import type { ClientConnection, Direction } from "../mail/client-connection.ts";
import type { MessageMeta } from "../mail/message.ts";
import type { Endpoint } from "../net/endpoint.ts";
import { NetworkSet } from "../net/network-set.ts";
import {
  type ConnectionDecision,
  type ConnectionFacts,
  chosenServer,
  compileExceptions,
  directionOf,
  handle,
} from "./connection-decision.ts";
import {
  type DeniedRecipient,
  domainMissing,
  loginNeeded,
  noPostmaster,
  relayingDenied,
} from "./denied-recipient.ts";
import { type Mailbox, readMailbox } from "./mailbox.ts";
import type { NextHop } from "./next-hop.ts";
import { compileProtectedDomains, compileProtectedServers, endpointKey } from "./protected.ts";
import { compileRelayRoutes, type RelayRoute, type RelayRoutes } from "./relay-routes.ts";
import type { Route } from "./route.ts";

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
  /** The next hop that an operator chose: `mx`, the name of a relay host, or `host:port`; `undefined` when it is none of them. */
  nextHopVia(via: string, recipient: string): NextHop | undefined;
}

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

    nextHopVia: (via, recipient) => relayRoutes.findVia(via, readMailbox(recipient, hostname)),

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
