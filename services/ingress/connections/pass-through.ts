/** Connections that pass unread (`pickup: pass`, `shadow: true`): a tunnel to where the client wanted. Owns the sockets it takes. */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { ConnectToServer } from "./connect-to-server.ts";
import type { ConnectionMetrics } from "./connection-metrics.ts";
import { Tunnel } from "./tunnel.ts";

export interface PassThrough {
  /** @param hide  the server is to see the client's own address */
  take(client: net.Socket, connection: ClientConnection, hide: boolean): void;
  /** What passes is not known, so neither is when it is over: all get `graceMs` to end by themselves. */
  close(graceMs: number): Promise<void>;
}

export interface PassThroughOptions {
  timeouts: Pick<Config["timeouts"], "connect" | "tunnel">;
  connectToServer: ConnectToServer;
  log: Logger;
  metrics: ConnectionMetrics;
}

export function createPassThrough({
  timeouts,
  connectToServer,
  log,
  metrics,
}: PassThroughOptions): PassThrough {
  /** Ends of what is under way: tunnels, and clients whose server is being connected to. */
  const open = new Map<net.Socket, () => void>();
  let isClosing = false;
  let allGone: (() => void) | undefined;

  function done(client: net.Socket): void {
    open.delete(client);
    if (open.size === 0) allGone?.();
  }

  async function pass(client: net.Socket, connection: ClientConnection, hide: boolean): Promise<void> {
    const startedAtMs = performance.now();
    const { id, destination } = connection;
    const facts = {
      event: "session.close",
      session: id,
      client: connection.client.address,
      server: formatEndpoint(destination),
    };
    open.set(client, () => client.destroy());
    const connected = await connectToServer(destination, {
      timeoutMs: timeouts.connect,
      ...(hide ? { source: connection.client.address } : {}),
    });
    if (connected.kind === "unreachable" || isClosing || client.destroyed) {
      if (connected.kind === "connected") connected.socket.destroy();
      const reason =
        connected.kind === "unreachable"
          ? `the server cannot be reached: ${connected.reason}`
          : isClosing
            ? "stopping"
            : "the client did not wait";
      log.info({ ...facts, reason });
      // As it would be without us: nobody answers.
      client.resetAndDestroy();
      done(client);
      return;
    }
    const tunnel = new Tunnel(client, connected.socket, {
      idleMs: timeouts.tunnel,
      ended(how) {
        const { octetsToServer, octetsToClient } = tunnel;
        metrics.passedToServer(octetsToServer);
        metrics.passedToClient(octetsToClient);
        const durationMs = Math.round(performance.now() - startedAtMs);
        log.info({ ...facts, how, octetsToServer, octetsToClient, durationMs });
        done(client);
      },
    });
    open.set(client, () => tunnel.stop("stopped"));
    tunnel.start();
  }

  return {
    take(client, connection, hide) {
      void pass(client, connection, hide);
    },
    async close(graceMs) {
      isClosing = true;
      if (open.size === 0) return;
      const gone = new Promise<void>((resolve) => {
        allGone = resolve;
      });
      const timer = setTimeout(() => {
        for (const stop of open.values()) stop();
      }, graceMs);
      await gone;
      clearTimeout(timer);
    },
  };
}
