/**
 * The ingress service, which clients connect to. listener/ accepts connections and classifies them. From there a
 * connection goes to session/, which answers the client itself (message/ has the way into the spool, inline/ the delivery
 * while the client waits), to outgoing/, which passes its dialogue on, or to a tunnel or rejection of connections/.
 * Owns all of these; the spool, the publisher and the log are the caller's.
 */
import { randomBytes } from "node:crypto";
import type net from "node:net";
import { formatFinding } from "../../shared/config/config-error.ts";
import type { Config, ListenerConfig } from "../../shared/config/schema.ts";
import { findWarnings } from "../../shared/config/warnings.ts";
import type { Limiter } from "../../shared/limits/limiter.ts";
import { createLocalLimiter } from "../../shared/limits/local-limiter.ts";
import type { LoginFailures } from "../../shared/limits/login-failures.ts";
import { createLocalOwnConnections, type OwnConnections } from "../../shared/limits/own-connections.ts";
import type { ClientConnection } from "../../shared/mail/client-connection.ts";
import type { Publisher } from "../../shared/queue/contract/queue.ts";
import { compileRouting, type Routing } from "../../shared/routing/classify.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import { createOwnAddresses } from "../../shared/runtime/own-addresses.ts";
import type { RedisHealthConnection } from "../../shared/runtime/redis-health.ts";
import type { RunningService } from "../../shared/runtime/run-service.ts";
import { whySpoolFails } from "../../shared/runtime/spool-health.ts";
import { cannotListen } from "../../shared/runtime/start-failure.ts";
import { createTransparentSource } from "../../shared/smtp-client/session/transparent-source.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { type Admission, createAdmission } from "./admission/admission.ts";
import { healthUnderPressure } from "./admission/pressure-health.ts";
import { createAuthentication } from "./auth/authentication.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import { type CountedConnection, createClientLimits } from "./connections/client-limits.ts";
import { type ConnectToServer, connectToServer } from "./connections/connect-to-server.ts";
import { ConnectionMetrics } from "./connections/connection-metrics.ts";
import { createPassThrough } from "./connections/pass-through.ts";
import { createRejections } from "./connections/rejection.ts";
import type { InlineDeps } from "./inline/inline.ts";
import { type Handlers, Listener } from "./listener/listener.ts";
import { claimPorts, type PortClaims } from "./listener/port-claim.ts";
import { createOutgoingProxy } from "./outgoing/outgoing-proxy.ts";
import { createSessions } from "./session/sessions.ts";

export interface IngressOptions {
  config: Config;
  log: Logger;
  metrics?: Metrics;
  spool: Spool;
  publisher: Publisher;
  /** Absent: all queued mail waits in the queue. */
  inline?: InlineDeps;
  /** Its memory is watched (`limits.pressure.redis_memory`); absent: it is not. */
  redis?: RedisHealthConnection;
  /** Counts clients (`limits.clients`); absent: those of this process alone. */
  limiter?: Limiter;
  /** The gateway's connections to servers of clients; absent: those of this process alone. */
  ownConnections?: OwnConnections;
  /** Where failed logins are counted; absent: in this process alone. */
  loginFailures?: LoginFailures;
}

export interface RunningIngress extends RunningService {
  /** What each listener is bound to, in the order of the configuration. */
  addresses: { listener: string; address: string; port: number }[];
}

/**
 * Starts every listener, or none.
 * @throws Error with one sentence for the operator when a listener cannot be had
 */
export async function startIngress(options: IngressOptions): Promise<RunningIngress> {
  const { config, log } = options;
  warnOfUnavailableOptions(config, log);
  const routing = compileRouting(config);
  const metrics = new ConnectionMetrics(options.metrics);
  const { loginFailures } = options;
  const authentication = createAuthentication({
    config,
    log,
    ...(loginFailures === undefined ? {} : { failures: loginFailures }),
  });
  // Reports errors in the user file before the first client logs in.
  await authentication?.rereadFiles();
  const admission = createAdmission({
    limits: config.limits,
    spool: options.spool,
    log,
    ...(options.redis === undefined ? {} : { redis: options.redis }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
  const { handlers, close } = createHandlers(options, {
    routing,
    metrics,
    authenticator: authentication?.authenticator,
    admission,
  });
  const ownAddresses = createOwnAddresses(config.own_addresses);
  const nextSessionId = sessionIds();
  const listeners = config.listeners.map(
    (listener) => new Listener({ listener, routing, ownAddresses, handlers, log, metrics, nextSessionId }),
  );
  const closeListeners = () => Promise.all(listeners.map((listener) => listener.close()));
  const listen = async () => {
    const started = await Promise.allSettled(listeners.map((listener) => listener.listen()));
    const failure = started.find((result) => result.status === "rejected");
    if (failure !== undefined) throw failure.reason;
    return listeners.map(({ address }) => address.port);
  };
  let claims: PortClaims;
  try {
    const onTaken = (listener: ListenerConfig) =>
      cannotListen(`listener ${listener.name}`, listener, { code: "EADDRINUSE" });
    claims = await claimPorts(config.listeners, config.data, onTaken, listen);
  } catch (error) {
    await closeListeners();
    await close(0);
    admission.close();
    await authentication?.close();
    throw error;
  }
  const addresses = listeners.map(({ name, address }) => ({ listener: name, ...address }));
  for (const bound of addresses) log.info(bound, "listening");

  return {
    addresses,
    health: async () =>
      healthUnderPressure(
        listeners.map(({ fault }) => fault),
        await whySpoolFails(options.spool),
        admission.pressures(),
      ),
    rereadFiles: () => authentication?.rereadFiles(),
    async close(graceMs) {
      await closeListeners();
      claims.close();
      await close(graceMs);
      admission.close();
      await authentication?.close();
    },
  };
}

/** What takes the connections that the listeners have classified. */
function createHandlers(
  { config, log, spool, publisher, inline, limiter = createLocalLimiter(), ...options }: IngressOptions,
  {
    routing,
    metrics,
    authenticator,
    admission,
  }: {
    routing: Routing;
    metrics: ConnectionMetrics;
    authenticator: Authenticator | undefined;
    admission: Admission;
  },
): { handlers: Handlers; close(graceMs: number): Promise<void> } {
  const processMetrics = options.metrics === undefined ? {} : { metrics: options.metrics };
  const limits = createClientLimits({ limits: config.limits, admission, limiter, log, ...processMetrics });
  const mailLimit = limits.mail === undefined ? {} : { mailLimit: limits.mail };
  const connectToServer = withTransparentSource(config, log);
  const { ownConnections = createLocalOwnConnections() } = options;
  const outgoingProxy = createOutgoingProxy({
    config,
    connectToServer,
    ownConnections,
    log,
    metrics,
    ...mailLimit,
  });
  const passThrough = createPassThrough({
    timeouts: config.timeouts,
    connectToServer,
    ownConnections,
    log,
    metrics,
  });
  const rejections = createRejections(config.hostname);
  const sessions = createSessions({
    config,
    spool,
    publisher,
    log,
    routing,
    admission,
    ...mailLimit,
    ...processMetrics,
    ...(inline === undefined ? {} : { inline }),
    ...(authenticator === undefined ? {} : { authenticator }),
  });
  const count = (socket: net.Socket, connection: ClientConnection, counted: CountedConnection): void =>
    limits.countConnection(socket, connection, counted);
  return {
    handlers: {
      outgoingProxy: (socket, connection) =>
        count(socket, connection, {
          admit: () => outgoingProxy.proxySession(socket, connection),
          refuse: (full) => outgoingProxy.refuseConnection(socket, full),
        }),
      queue: (socket, connection, listener) =>
        count(socket, connection, {
          admit: () => sessions.startSession(socket, connection, listener),
          refuse: (full) => sessions.refuseConnection(socket, full),
        }),
      tunnel: (socket, connection, hide) =>
        count(socket, connection, {
          admit: () => passThrough.tunnelConnection(socket, connection, hide),
          refuse: () => socket.resetAndDestroy(),
        }),
      reject: (socket, connection) =>
        count(socket, connection, {
          admit: () => rejections.rejectSession(socket),
          refuse: (full) => sessions.refuseConnection(socket, full),
        }),
    },
    async close(graceMs) {
      limits.close();
      rejections.close();
      await Promise.all([sessions.close(graceMs), outgoingProxy.close(graceMs), passThrough.close(graceMs)]);
    },
  };
}

/** Four random characters for this process, then a count: short, and unique in any log of a year. */
function sessionIds(): () => string {
  const process = randomBytes(3).toString("base64url");
  let count = 0;
  return () => `${process}-${(++count).toString(36)}`;
}

/** Where the process may not use a client's address, the remote server sees ours: mail goes on, and the log says so once. */
function withTransparentSource(config: Config, log: Logger): ConnectToServer {
  if (!config.outgoing.hide && !config.protected.some(({ hide }) => hide)) return connectToServer;
  const canHide = createTransparentSource("hide", log);
  return (server, { timeoutMs, source }) =>
    connectToServer(server, { timeoutMs, ...(source !== undefined && canHide(source) ? { source } : {}) });
}

/** Options of the configuration that have no effect here; mail goes on all the same. */
function warnOfUnavailableOptions(config: Config, log: Logger): void {
  for (const finding of findWarnings(config)) log.warn(formatFinding(finding));
  if (config.outgoing.require_auth && config.outgoing.starttls === "pass") {
    log.warn("outgoing.require_auth: it cannot be enforced behind a STARTTLS that is passed");
  }
}
