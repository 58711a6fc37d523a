/**
 * The outgoing proxy: connects to the server that the client chose before it says anything to the client, then passes
 * the dialogue both ways and tells the log what went through. It never queues and never retries.
 * Owns the client's socket from take() on, and closes it with the far one.
 */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";
import type { Connection } from "../../../shared/routing/connection.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { ConnectTo } from "../connect-to.ts";
import { formatEndpoint } from "../format-endpoint.ts";
import type { IngressMetrics } from "../metrics.ts";
import { ProxySession } from "./proxy-session.ts";
import { replies } from "./replies.ts";
import type { ProxyRules } from "./rules.ts";

export interface OutgoingProxyOptions {
  config: Pick<Config, "outgoing" | "timeouts">;
  connectTo: ConnectTo;
  log: Logger;
  metrics: IngressMetrics;
  /** XCLIENT and XFORWARD of the client. */
  xclient?: ProxyRules["xclient"];
}

export interface OutgoingProxy {
  take(socket: net.Socket, connection: Connection): void;
  /** Idle sessions end at once, others when their transaction has, all after `graceMs`. Resolves when all have. */
  close(graceMs: number): Promise<void>;
}

/** RFC 5321 §4.5.3.2 would have a client wait for minutes; one that only hears 421 has no reason to stay. */
const farewellMs = 10_000;

export function createOutgoingProxy(options: OutgoingProxyOptions): OutgoingProxy {
  const { config, connectTo, log, metrics } = options;
  const rules: ProxyRules = {
    starttls: config.outgoing.starttls,
    requireAuth: config.outgoing.require_auth,
    xclient: options.xclient ?? "pass",
  };
  const sessions = new Set<ProxySession>();
  /** Clients whose server is being connected to, or who hear why not. */
  const waiting = new Set<net.Socket>();
  let isClosing = false;
  let allGone: (() => void) | undefined;

  const checkGone = () => {
    if (sessions.size === 0 && waiting.size === 0) allGone?.();
  };

  function refuse(client: net.Socket, connection: Connection, reason: string): void {
    log.info({
      event: "session.close",
      session: connection.id,
      client: connection.client.address,
      server: formatEndpoint(connection.destination),
      reason,
    });
    if (config.outgoing.on_failure === "drop" || isClosing) {
      client.destroy();
      return;
    }
    client.setTimeout(farewellMs, () => client.destroy());
    client.end(replies.serverUnreachable.octets);
    // What it sends is not wanted, but unread octets would turn our FIN into a reset, and the reply would be lost.
    client.resume();
  }

  async function connect(client: net.Socket, connection: Connection): Promise<void> {
    waiting.add(client);
    client.once("close", () => {
      waiting.delete(client);
      checkGone();
    });
    const connected = await connectTo(connection.destination, {
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
