/** The queued sessions of an ingress: takes classified sockets, ends every session that it started. */
import { readFileSync } from "node:fs";
import type net from "node:net";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import type { Config, ListenerConfig } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Publisher } from "../../../shared/queue/contract/queue.ts";
import type { Routing } from "../../../shared/routing/classify.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { Metrics } from "../../../shared/runtime/metrics.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import { type MailLimit, refuseConnection } from "../connections/client-limits.ts";
import type { Inline, InlineDeps } from "../inline/inline.ts";
import { InlineMetrics } from "../inline/inline-metrics.ts";
import { ehloReply, greeting, heloReply, replies } from "../message/session-replies.ts";
import { QueuedSession } from "./session.ts";
import { SessionMetrics } from "./session-metrics.ts";
import type { SessionProfile } from "./session-profile.ts";

export interface SessionsOptions {
  config: Config;
  spool: Spool;
  publisher: Publisher;
  log: Logger;
  routing: Routing;
  /** Of the process; absent: nothing is exported. */
  metrics?: Metrics;
  /** Absent: all mail goes through the queue. */
  inline?: InlineDeps;
  /** Absent: a client may send as many messages as it likes. */
  mailLimit?: MailLimit;
  /** Epoch milliseconds. */
  now?: () => number;
  /** How long a client waits for the storage before it hears 451. */
  storageDeadlineMs?: number;
}

export interface Sessions {
  /**
   * Starts a session on a socket that is paused and to which nothing has been said; octets may have been unshifted.
   * The socket belongs to the session from then on.
   */
  take(socket: net.Socket, connection: ClientConnection, listener: ListenerConfig): void;
  /** Likewise, for a client that has too many connections. */
  refuseConnection(socket: net.Socket): void;
  /** Sessions that are open. */
  readonly active: number;
  /**
   * Takes no new sessions; idle ones hear 421 4.3.2, those in a transaction after it. What is left after `graceMs` is
   * cut off; a message that is being stored then stays accepted, unheard. Resolves when all are closed.
   */
  close(graceMs: number): Promise<void>;
}

/** Well below the 10 minutes that clients wait for the reply to the final dot (RFC 5321 §4.5.3.2.6). */
const defaultStorageDeadlineMs = 2 * 60_000;

/** @throws Error when a certificate or key cannot be read */
export function createSessions(options: SessionsOptions): Sessions {
  const open = new Set<QueuedSession>();
  const metrics = new SessionMetrics(options.metrics);
  const inline =
    options.inline === undefined
      ? undefined
      : { ...options.inline, metrics: new InlineMetrics(options.metrics), queue: options.config.queue };
  const profiles = new Map(
    options.config.listeners.map((listener) => [
      listener.name,
      makeProfile(options, listener, metrics, inline),
    ]),
  );
  let closing = false;
  let allClosed: (() => void) | undefined;

  function ended(session: QueuedSession): void {
    open.delete(session);
    if (open.size === 0) allClosed?.();
  }

  return {
    take(socket, connection, listener) {
      const profile = profiles.get(listener.name);
      if (profile === undefined) throw new Error(`no listener is called ${listener.name}`);
      if (closing || socket.destroyed) {
        socket.on("error", () => {});
        if (!socket.destroyed) socket.end(replies.closing.wire, () => socket.destroy());
        return;
      }
      const session = new QueuedSession(socket, connection, profile, ended);
      open.add(session);
      session.init();
    },
    refuseConnection: (socket) => refuseConnection(socket, replies.tooManyConnections.wire),
    get active() {
      return open.size;
    },
    async close(graceMs) {
      closing = true;
      for (const session of open) session.dismiss(replies.closing);
      if (open.size === 0) return;
      const graceOver = setTimeout(() => {
        for (const session of open) session.terminate(replies.closing);
      }, graceMs);
      await new Promise<void>((resolve) => {
        allClosed = resolve;
      });
      clearTimeout(graceOver);
    },
  };
}

function makeProfile(
  { config, spool, publisher, log, routing, mailLimit, now = Date.now, storageDeadlineMs }: SessionsOptions,
  listener: ListenerConfig,
  metrics: SessionMetrics,
  inline: Inline | undefined,
): SessionProfile {
  const { hostname, limits, timeouts } = config;
  const tls = listener.tls ?? config.tls;
  const offersTls = tls !== undefined;
  return {
    server: new SMTPServer({
      logger: false,
      // Without it every session would ask the system for the host's name.
      name: hostname,
      ...(tls === undefined ? { hideSTARTTLS: true } : tlsOptions(tls)),
    }),
    hostname,
    routing,
    acceptor: { spool, publisher, log, deadlineMs: storageDeadlineMs ?? defaultStorageDeadlineMs },
    metrics,
    inline,
    receiver: {
      maxMessageBytes: limits.message,
      maxHops: limits.hops,
      normaliseNewlines: listener.bare_newline === "normalise",
    },
    mailLimit,
    maxRecipients: limits.recipients,
    toleratesBareNewline: listener.bare_newline === "normalise",
    greeting: greeting(hostname),
    heloReply: heloReply(hostname),
    ehloReply: ehloReply(hostname, limits.message, offersTls ? ["STARTTLS"] : []),
    ehloReplyOverTls: ehloReply(hostname, limits.message, ["REQUIRETLS"]),
    offersTls,
    clientTimeoutMs: timeouts.client,
    sessionTimeoutMs: timeouts.session,
    earlyTalkerMs: listener.early_talker,
    now,
  };
}

/** RFC 8996: nothing below TLS 1.2. */
const minVersion = "TLSv1.2";

function tlsOptions(tls: NonNullable<Config["tls"]>): SMTPServerOptions {
  return {
    ...readCertificate(tls),
    minVersion,
    sniOptions: Object.fromEntries(
      Object.entries(tls.sni).map(([name, certificate]) => [
        name,
        { ...readCertificate(certificate), minVersion },
      ]),
    ),
  };
}

function readCertificate({ cert, key }: { cert: string; key: string }): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}
