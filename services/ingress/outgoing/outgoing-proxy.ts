/**
 * The outgoing proxy: connects to the server that the client chose before it says anything to the client, then passes
 * the dialogue both ways and tells the log what went through. It never queues and never retries.
 * Owns the client's socket from take() on, and closes it with the far one.
 */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import { type MailLimit, refuseConnection } from "../connections/client-limits.ts";
import type { ConnectToServer } from "../connections/connect-to-server.ts";
import type { ConnectionMetrics } from "../connections/connection-metrics.ts";
import { replies } from "./proxy-replies.ts";
import { ProxySession } from "./proxy-session.ts";
import type { ProxyRules } from "./rules.ts";

export interface OutgoingProxyOptions {
  config: Pick<Config, "outgoing" | "timeouts">;
  connectToServer: ConnectToServer;
  log: Logger;
  metrics: ConnectionMetrics;
  /** Absent: a client may send as many messages as it likes. */
  mailLimit?: MailLimit;
}

export interface OutgoingProxy {
  take(socket: net.Socket, connection: ClientConnection): void;
  /** Likewise, for a client that has too many connections. */
  refuseConnection(socket: net.Socket): void;
  /** Idle sessions end at once, others when their transaction has, all after `graceMs`. Resolves when all have. */
  close(graceMs: number): Promise<void>;
}

export function createOutgoingProxy(options: OutgoingProxyOptions): OutgoingProxy {
  const { config, connectToServer, log, metrics } = options;
  const rules: ProxyRules = {
    starttls: config.outgoing.starttls,
    requireAuth: config.outgoing.require_auth,
    xclient: config.outgoing.xclient,
    limitsMail: options.mailLimit !== undefined,
  };
  const sessions = new Set<ProxySession>();
  /** Clients whose server is being connected to, or who hear why not. */
  const waiting = new Set<net.Socket>();
  let isClosing = false;
  let allGone: (() => void) | undefined;

  const checkGone = () => {
    if (sessions.size === 0 && waiting.size === 0) allGone?.();
  };

  function refuse(client: net.Socket, connection: ClientConnection, reason: string): void {
    log.info({
      event: "session.close",
      session: connection.id,
      client: connection.client.address,
      server: formatEndpoint(connection.destination),
      reason,
    });
    sayGoodbye(client, replies.serverUnreachable.octets);
  }

  /** In place of the server's greeting. */
  function sayGoodbye(client: net.Socket, reply: Buffer): void {
    if (config.outgoing.on_failure === "drop" || isClosing) {
      client.destroy();
      return;
    }
    refuseConnection(client, reply);
  }

  async function connect(client: net.Socket, connection: ClientConnection): Promise<void> {
    waiting.add(client);
    client.once("close", () => {
      waiting.delete(client);
      checkGone();
    });
    const connected = await connectToServer(connection.destination, {
      timeoutMs: config.timeouts.connect,
      ...(config.outgoing.hide ? { source: connection.client.address } : {}),
    });
    if (connected.kind === "unreachable") {
      return refuse(client, connection, `the server cannot be reached: ${connected.reason}`);
    }
    if (isClosing || client.destroyed) {
      connected.socket.destroy();
      return refuse(client, connection, isClosing ? "stopping" : "the client did not wait");
    }
    waiting.delete(client);
    const session = new ProxySession(client, connected.socket, connection, {
      rules,
      onFailure: config.outgoing.on_failure,
      idleMs: config.timeouts.tunnel,
      log,
      metrics,
      ...(options.mailLimit === undefined ? {} : { mailLimit: options.mailLimit }),
      ended() {
        sessions.delete(session);
        checkGone();
      },
    });
    sessions.add(session);
    session.start();
  }

  return {
    take(socket, connection) {
      void connect(socket, connection);
    },
    refuseConnection: (socket) => sayGoodbye(socket, replies.tooManyConnections.octets),
    async close(graceMs) {
      isClosing = true;
      for (const client of waiting) client.destroy();
      if (sessions.size === 0 && waiting.size === 0) return;
      const gone = new Promise<void>((resolve) => {
        allGone = resolve;
      });
      for (const session of sessions) session.endWhenIdle();
      const timer = setTimeout(() => {
        for (const session of sessions) session.stop();
      }, graceMs);
      await gone;
      clearTimeout(timer);
    },
  };
}
