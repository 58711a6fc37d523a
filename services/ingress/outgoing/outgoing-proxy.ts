/**
 * The outgoing proxy: connects to the server that the client chose before it sends anything to the client, then passes
 * the dialogue both ways and logs each transaction. It never queues and never retries.
 * Owns the client's socket from proxySession() on, and closes it with the server's.
 */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import { type Commit, LiveValue } from "../../../shared/runtime/live.ts";
import { type Logger, writeEvent } from "../../../shared/runtime/log.ts";
import type { Tracing } from "../../../shared/runtime/tracing.ts";
import type { FullOf, MailLimit } from "../connections/client-limits.ts";
import { connectForClient, type ServerAccess } from "../connections/connect-to-server.ts";
import type { ConnectionMetrics } from "../connections/connection-metrics.ts";
import { OpenConnections } from "../connections/open-connections.ts";
import { refuseConnection } from "../connections/rejection.ts";
import { replies } from "./proxy-replies.ts";
import { ProxySession } from "./proxy-session.ts";
import type { ProxyRules } from "./rules.ts";
import { traceSession } from "./session-trace.ts";

export interface OutgoingProxyOptions extends ServerAccess, ProxySettings {
  log: Logger;
  metrics: ConnectionMetrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
}

/** What a session takes from the configuration at its start. */
export interface ProxySettings {
  config: Pick<Config, "outgoing" | "timeouts">;
  /** Absent: a client may send as many messages as it likes. */
  mailLimit?: MailLimit | undefined;
}

export interface OutgoingProxy {
  proxySession(socket: net.Socket, connection: ClientConnection): void;
  /** In place of proxySession(), where there are too many connections. */
  refuseConnection(socket: net.Socket, full: FullOf): void;
  /** Ends the sessions that are open, each when nothing is under way in it. */
  endWhenIdle(): void;
  /** Sessions that start after the commit follow these settings. */
  prepare(settings: ProxySettings): Commit;
  /** Idle sessions end at once, others when their transaction has, all after `graceMs`. Resolves when all have. */
  close(graceMs: number): Promise<void>;
}

export function createOutgoingProxy(options: OutgoingProxyOptions): OutgoingProxy {
  const { connectToServer, ownConnections, log, metrics } = options;
  const live = new LiveValue<ProxySettings>(options);
  /** Sessions; and clients whose server is being connected to, or that get the reply why it cannot be. */
  const open = new OpenConnections<net.Socket | ProxySession>();

  async function connectAndProxy(client: net.Socket, connection: ClientConnection): Promise<void> {
    const { config, mailLimit } = live.current;
    const destroy = () => client.destroy();
    open.set(client, { endWhenIdle: destroy, cut: destroy });
    client.once("close", () => open.delete(client));
    const begunMs = performance.now();
    const trace = options.tracing && traceSession(options.tracing, connection);
    const connected = await connectForClient(client, connection, {
      connectToServer,
      timeoutMs: config.timeouts.connect,
      hide: config.outgoing.hide,
      ownConnections,
      isStopping: () => open.isClosing,
    });
    trace?.connected(connected.kind === "connected" ? undefined : connected.kind);
    metrics.connectedToServer(connected.kind, (performance.now() - begunMs) / 1000);
    if (connected.kind !== "connected") {
      writeEvent(log, connected.kind === "loop" ? "warn" : "info", {
        event: "session.close",
        session: connection.id,
        client: connection.client.address,
        server: formatEndpoint(connection.destination),
        reason: connected.reason,
      });
      refuse(client, replies.serverUnreachable.octets, config);
      return;
    }
    const session = new ProxySession(client, connected.socket, connection, {
      rules: rulesOf(config, mailLimit),
      onFailure: config.outgoing.on_failure,
      idleMs: config.timeouts.tunnel,
      log,
      metrics,
      ...(mailLimit === undefined ? {} : { mailLimit }),
      ...(trace === undefined ? {} : { observed: trace.observed }),
      ended() {
        trace?.ended();
        open.delete(session);
      },
    });
    open.set(session, { endWhenIdle: () => session.endWhenIdle(), cut: () => session.stop() });
    open.delete(client);
    session.start();
  }

  /** With a reply in place of the server's greeting, unless `outgoing.on_failure` wants none. */
  function refuse(
    client: net.Socket,
    reply: Buffer,
    config: Pick<Config, "outgoing"> = live.current.config,
  ): void {
    if (config.outgoing.on_failure === "drop" || open.isClosing) client.destroy();
    else refuseConnection(client, reply);
  }

  return {
    proxySession(socket, connection) {
      void connectAndProxy(socket, connection);
    },
    refuseConnection(socket, full) {
      refuse(socket, (full === "client" ? replies.tooManyConnections : replies.processFull).octets);
    },
    prepare: (settings) => () => live.replace(settings),
    endWhenIdle: () => open.endWhenIdle(),
    close: (graceMs) => open.close(graceMs),
  };
}

function rulesOf({ outgoing }: Pick<Config, "outgoing">, mailLimit: MailLimit | undefined): ProxyRules {
  return {
    starttls: outgoing.starttls,
    requireAuth: outgoing.require_auth,
    xclient: outgoing.xclient,
    limitsMail: mailLimit !== undefined,
  };
}
