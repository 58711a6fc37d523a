/**
 * One configured listener: accepts connections, finds out where each client meant to connect, classifies the connection,
 * and passes the socket to its handler. Owns the net.Server, and each socket until it is passed on.
 */
import net from "node:net";
import type { ListenerConfig } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import type { Routing } from "../../../shared/routing/classify.ts";
import type { ConnectionDecision } from "../../../shared/routing/connection-decision.ts";
import type { Live } from "../../../shared/runtime/live.ts";
import { type Logger, logEvent, writeEvent } from "../../../shared/runtime/log.ts";
import type { OwnAddresses } from "../../../shared/runtime/own-addresses.ts";
import { transparentListener, whyNoOriginalDestination } from "../../../shared/runtime/socket.ts";
import { cannotListen } from "../../../shared/runtime/start-failure.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import type { ConnectionMetrics } from "../connections/connection-metrics.ts";
import { destinationOf, type LearnedConnection } from "./original-destination.ts";
import { acceptQueuedConnections, backlog } from "./queued-connections.ts";

/**
 * Where classified sockets go. They come paused, with an error listener, half-open allowed; the handler owns them.
 * Octets that the client sent early may have been unshifted.
 */
export interface Handlers {
  outgoingProxy(socket: net.Socket, connection: ClientConnection): void;
  queue(socket: net.Socket, connection: ClientConnection, listener: ListenerConfig): void;
  /** @param hide  the server is to see the client's own address */
  tunnel(socket: net.Socket, connection: ClientConnection, hide: boolean): void;
  reject(socket: net.Socket, connection: ClientConnection): void;
}

/** What a connection takes from the configuration when it is accepted. */
export interface ListenerSettings {
  /** Its name, address, port and destination never change. */
  listener: ListenerConfig;
  routing: Pick<Routing, "classifyConnection">;
  ownAddresses: OwnAddresses;
}

export interface ListenerOptions {
  live: Live<ListenerSettings>;
  handlers: Handlers;
  log: Logger;
  metrics: ConnectionMetrics;
  /** Short, and unique enough to follow one session in the log. */
  nextSessionId(): string;
  /** The descriptor of its socket, where another program has opened that. */
  socket?: number;
}

/** When `accept` fails (EMFILE), it fails for every queued connection: a line for each would flood the log. */
const acceptErrorPauseMs = 10_000;

export class Listener {
  readonly name: string;
  readonly #options: ListenerOptions;
  readonly #server: net.Server;
  /** Sockets whose destination is not known yet. */
  readonly #pending = new Set<net.Socket>();
  #acceptErrorAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ListenerOptions) {
    this.name = options.live.current.listener.name;
    this.#options = options;
    this.#server = net.createServer({
      pauseOnConnect: true,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    });
    this.#server.on("connection", (socket) => this.#acceptSocket(socket));
  }

  /** Why clients cannot connect; one line. */
  get fault(): string | undefined {
    if (!this.#server.listening) return `listener ${this.name} does not listen`;
    const sinceMs = performance.now() - this.#acceptErrorAtMs;
    return sinceMs < acceptErrorPauseMs ? `listener ${this.name} cannot accept connections` : undefined;
  }

  /** What it is bound to, while it listens. */
  get address(): { address: string; port: number } {
    const bound = this.#server.address();
    if (bound === null || typeof bound === "string") throw new Error(`listener ${this.name} does not listen`);
    return { address: bound.address, port: bound.port };
  }

  /** @throws Error with one sentence for the operator */
  async listen(): Promise<void> {
    const { address, port, destination } = this.#options.live.current.listener;
    const server = this.#server;
    try {
      if (destination === "redirect") this.#checkOriginalDestinations();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.once("listening", resolve);
        const { socket } = this.#options;
        if (socket !== undefined) server.listen({ fd: socket, backlog });
        else if (destination === "tproxy") server.listen({ fd: transparentListener(address, port), backlog });
        // The ingress processes of one gateway share a port: the kernel spreads the connections (SO_REUSEPORT).
        else server.listen({ host: address, port, backlog, reusePort: process.platform === "linux" });
      });
    } catch (error) {
      throw cannotListen(`listener ${this.name}`, { address, port }, error as NodeJS.ErrnoException);
    }
    server.removeAllListeners("error");
    server.on("error", (error) => this.#acceptFailed(error));
  }

  /** Accepts no more connections but those that the kernel has queued for it; those that were passed on stay open. */
  async close(): Promise<void> {
    // What is queued for a given socket stays there for the others that have it.
    if (this.#server.listening && this.#options.socket === undefined)
      await acceptQueuedConnections(this.#server);
    // close() waits for every connection; the listening socket itself is closed at once.
    if (this.#server.listening) this.#server.close();
    for (const socket of this.#pending) socket.destroy();
  }

  /** @throws SocketNotPermitted where the destination of no connection can be found */
  #checkOriginalDestinations(): void {
    const obstacle = whyNoOriginalDestination();
    if (obstacle === undefined) return;
    this.#options.log.warn(`listener ${this.name} takes every connection for a local one: ${obstacle}`);
  }

  #acceptSocket(socket: net.Socket): void {
    const { log, live } = this.#options;
    const settings = live.current;
    // Stays for good: before the socket has an owner, and after that has let go, an error must have a listener.
    socket.on("error", () => {});
    this.#pending.add(socket);
    destinationOf(settings.listener)(socket, (learned) => {
      this.#pending.delete(socket);
      try {
        this.#classify(socket, learned, settings);
      } catch (error) {
        // A fault of ours must not end the other sessions.
        log.error({ listener: this.name, err: error }, "an unexpected error ended a connection");
        socket.destroy();
      }
    });
  }

  #classify(socket: net.Socket, learned: LearnedConnection, settings: ListenerSettings): void {
    const { log, metrics, nextSessionId } = this.#options;
    const { listener, routing, ownAddresses } = settings;
    if (learned.kind === "refused") {
      metrics.connectionRefused(listener.name, learned.cause);
      const { cause, reason } = learned;
      // A proxy's health check sends nothing, every few seconds.
      const level = cause === "closed-early" ? "debug" : "warn";
      writeEvent(log, level, {
        event: "session.refused",
        listener: listener.name,
        client: socket.remoteAddress,
        cause,
        reason,
      });
      socket.destroy();
      return;
    }
    // The client has left already: there is no session.
    if (socket.destroyed || learned.client.address === "") {
      socket.destroy();
      return;
    }
    const { client, destination, withoutDestination, proxy } = learned;
    const id = nextSessionId();
    const session = { session: id, listener: listener.name, client: client.address, clientPort: client.port };
    const meant = withoutDestination ? {} : { destination: formatEndpoint(destination) };
    logEvent(log, {
      event: "session.open",
      ...session,
      ...meant,
      ...(proxy === undefined ? {} : { proxy: proxy.address }),
    });
    const decision = routing.classifyConnection({
      client,
      destination,
      listener: listener.name,
      ownAddresses: ownAddresses.current(),
      withoutDestination,
    });
    const { direction, row, handler, setting, instead } = decision;
    const decided = { direction, row, handler, setting, instead };
    logEvent(log, { event: "session.classified", ...session, ...meant, ...decided });
    metrics.connectionOpened(listener.name, row ?? direction, handler);
    socket.once("close", () => metrics.connectionClosed(handler));
    const connection = { id, listener: listener.name, client, destination, direction };
    this.#passOn(socket, connection, listener, decision);
  }

  #passOn(
    socket: net.Socket,
    connection: ClientConnection,
    listener: ListenerConfig,
    { handler, nextHop }: ConnectionDecision,
  ): void {
    const { handlers } = this.#options;
    switch (handler) {
      case "outgoing-proxy":
        handlers.outgoingProxy(socket, connection);
        break;
      case "queue":
        handlers.queue(socket, connection, listener);
        break;
      case "tunnel":
        handlers.tunnel(socket, connection, nextHop?.hide === true);
        break;
      case "reject":
        handlers.reject(socket, connection);
        break;
      case "drop":
        socket.resetAndDestroy();
        break;
      default:
        unreachable(handler);
    }
  }

  /** The server goes on accepting when file descriptors are free again. */
  #acceptFailed(error: Error): void {
    const now = performance.now();
    if (now - this.#acceptErrorAtMs < acceptErrorPauseMs) return;
    this.#acceptErrorAtMs = now;
    this.#options.log.error({ listener: this.name, err: error }, "connections cannot be accepted");
  }
}
