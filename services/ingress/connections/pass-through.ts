/**
 * Connections that pass unread (`pickup: pass`, `shadow: true`): a tunnel to the server that the client chose.
 * Owns the sockets that it is given.
 */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import type { Live } from "../../../shared/runtime/live.ts";
import { type EventFields, type Logger, logEvent, writeEvent } from "../../../shared/runtime/log.ts";
import { connectForClient, type ServerAccess } from "./connect-to-server.ts";
import type { ConnectionMetrics } from "./connection-metrics.ts";
import { OpenConnections } from "./open-connections.ts";
import { Tunnel } from "./tunnel.ts";

export interface PassThrough {
  /** @param hide  the server is to see the client's own address */
  tunnelConnection(client: net.Socket, connection: ClientConnection, hide: boolean): void;
  /** Nobody knows when unread connections are idle, so all have `graceMs` to end by themselves. */
  close(graceMs: number): Promise<void>;
}

export interface PassThroughOptions extends ServerAccess {
  /** Read at the start of each tunnel. */
  live: Live<Pick<Config, "timeouts">>;
  log: Logger;
  metrics: ConnectionMetrics;
}

export function createPassThrough(options: PassThroughOptions): PassThrough {
  const { live, connectToServer, ownConnections, log, metrics } = options;
  /** Tunnels, and clients whose server is being connected to. */
  const open = new OpenConnections<net.Socket>();

  async function connectAndTunnel(
    client: net.Socket,
    connection: ClientConnection,
    hide: boolean,
  ): Promise<void> {
    const { timeouts } = live.current;
    const startedAtMs = performance.now();
    const facts: EventFields = {
      event: "session.close",
      session: connection.id,
      client: connection.client.address,
      server: formatEndpoint(connection.destination),
    };
    open.set(client, { cut: () => client.destroy() });
    const connected = await connectForClient(client, connection, {
      connectToServer,
      timeoutMs: timeouts.connect,
      hide,
      ownConnections,
      isStopping: () => open.isClosing,
    });
    if (connected.kind !== "connected") {
      const level = connected.kind === "loop" ? "warn" : "info";
      writeEvent(log, level, { ...facts, reason: connected.reason });
      // Without the gateway, too, nothing would answer the client.
      client.resetAndDestroy();
      open.delete(client);
      return;
    }
    const tunnel = new Tunnel(client, connected.socket, {
      idleMs: timeouts.tunnel,
      ended(how) {
        const { octetsToServer, octetsToClient } = tunnel;
        metrics.passedToServer(octetsToServer);
        metrics.passedToClient(octetsToClient);
        const durationMs = Math.round(performance.now() - startedAtMs);
        logEvent(log, { ...facts, how, octetsToServer, octetsToClient, durationMs });
        open.delete(client);
      },
    });
    open.set(client, { cut: () => tunnel.stop("stopped") });
    tunnel.start();
  }

  return {
    tunnelConnection(client, connection, hide) {
      void connectAndTunnel(client, connection, hide);
    },
    close: (graceMs) => open.close(graceMs),
  };
}
