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
import { compileRouting } from "../../shared/routing/classify.ts";
import type { Drain } from "../../shared/runtime/drain.ts";
import { type Commit, type Live, LiveValue } from "../../shared/runtime/live.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import { createMemoryMeter } from "../../shared/runtime/memory-meter.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import { createOwnAddresses } from "../../shared/runtime/own-addresses.ts";
import { claimPorts, type PortClaims } from "../../shared/runtime/port-claim.ts";
import type { RedisHealthConnection } from "../../shared/runtime/redis-health.ts";
import type { RunningService } from "../../shared/runtime/run-service.ts";
import { whySpoolFails } from "../../shared/runtime/spool-health.ts";
import { cannotListen } from "../../shared/runtime/start-failure.ts";
import type { Tracing } from "../../shared/runtime/tracing.ts";
import { createTransparentSource } from "../../shared/smtp-client/session/transparent-source.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { type Admission, createAdmission } from "./admission/admission.ts";
import { healthUnderPressure } from "./admission/pressure-health.ts";
import { Logins } from "./auth/authentication.ts";
import { type CountedConnection, createClientLimits } from "./connections/client-limits.ts";
import { type ConnectToServer, connectToServer } from "./connections/connect-to-server.ts";
import { ConnectionMetrics } from "./connections/connection-metrics.ts";
import { createPassThrough } from "./connections/pass-through.ts";
import { createRejections } from "./connections/rejection.ts";
import type { InlineDeps } from "./inline/inline.ts";
import { matchSockets } from "./listener/given-sockets.ts";
import { type Handlers, Listener } from "./listener/listener.ts";
import { createOutgoingProxy } from "./outgoing/outgoing-proxy.ts";
import type { SessionSettings } from "./session/session-profile.ts";
import { createSessions } from "./session/sessions.ts";

export interface IngressOptions {
  config: Config;
  log: Logger;
  metrics?: Metrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
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
  /** Descriptors of listening sockets that others have opened; each must be a listener's. */
  sockets?: readonly number[];
  /** How many processes like this share the memory of the machine or container; absent: 1. */
  workers?: number;
}

/** What another configuration may need besides itself. */
export type IngressNeeds = Pick<IngressOptions, "inline" | "loginFailures">;

export interface RunningIngress extends RunningService {
  /** What each listener is bound to, in the order of the configuration. */
  addresses: { listener: string; address: string; port: number }[];
  /** @param needs  absent: those of the start */
  prepare(config: Config, needs?: IngressNeeds): Promise<Commit>;
}

/**
 * Starts every listener, or none.
 * @throws Error with one sentence for the operator when a listener cannot be had
 */
export async function startIngress(options: IngressOptions): Promise<RunningIngress> {
  const { config, log } = options;
  warnOfUnavailableOptions(config, log);
  const metrics = new ConnectionMetrics(options.metrics);
  const logins = new Logins({ log });
  const { authenticator, commit } = logins.prepare(config, options.loginFailures);
  commit();
  // Reports errors in the user file before the first client logs in.
  await logins.readUsers();
  const live = new LiveValue(config);
  const admission = createAdmission({
    // Read at each decision.
    get limits() {
      return live.current.limits;
    },
    spool: options.spool,
    log,
    ...(options.redis === undefined ? {} : { redis: options.redis }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
    memory: createMemoryMeter(options.workers),
  });
  const routing = compileRouting(config);
  const connections = createConnections(
    options,
    { config, routing, authenticator },
    { live, metrics, admission },
  );
  const nextSessionId = sessionIds();
  const ownAddresses = createOwnAddresses(config.own_addresses);
  const settings = config.listeners.map((listener) => new LiveValue({ listener, routing, ownAddresses }));
  const { handlers } = connections;
  const given = matchSockets(config.listeners, options.sockets ?? []);
  const listeners = settings.map((live) => {
    const socket = given.get(live.current.listener.name);
    const deps = { live, handlers, log, metrics, nextSessionId };
    return new Listener(socket === undefined ? deps : { ...deps, socket });
  });
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
    // A port that is ours already is bound by nobody else.
    const unbound = config.listeners.filter(({ name }) => !given.has(name));
    claims = await claimPorts(unbound, config.data, onTaken, listen);
  } catch (error) {
    await closeListeners();
    await connections.close(0);
    admission.close();
    await logins.close();
    throw error;
  }
  const addresses = listeners.map(({ name, address }) => ({ listener: name, ...address }));
  for (const bound of addresses) log.info(bound, "listening");

  let isDraining = false;

  return {
    addresses,
    async health() {
      const health = healthUnderPressure(
        listeners.map(({ fault }) => fault),
        await whySpoolFails(options.spool),
        admission.pressures(),
      );
      const warnings = [...(health.warnings ?? []), ...connections.faults()];
      return warnings.length === 0 ? health : { ...health, warnings };
    },
    draining: {
      follow(drain) {
        const before = isDraining;
        isDraining = drain !== undefined;
        admission.drain(drain === undefined ? undefined : describeDrain(drain));
        if (isDraining && !before) connections.endWhenIdle();
      },
      sessions: () => admission.connections,
    },
    async prepare(next, needs = options) {
      warnOfUnavailableOptions(next, log);
      const routing = compileRouting(next);
      const ownAddresses = createOwnAddresses(next.own_addresses);
      const login = logins.prepare(next, needs.loginFailures);
      const { inline } = needs;
      const { authenticator } = login;
      const commitConnections = connections.prepare({ config: next, routing, authenticator, inline });
      return () => {
        login.commit();
        void logins.readUsers();
        commitConnections();
        live.replace(next);
        for (const ofListener of settings) {
          const before = ofListener.current.listener;
          const listener = next.listeners.find(({ name }) => name === before.name) ?? before;
          ofListener.replace({ listener, routing, ownAddresses });
        }
      };
    },
    async close(graceMs) {
      await closeListeners();
      claims.close();
      await connections.close(graceMs);
      admission.close();
      await logins.close();
    },
  };
}

interface Connections {
  handlers: Handlers;
  prepare(settings: Omit<SessionSettings, "mailLimit">): Commit;
  /** What an operator should hear of, one line each. */
  faults(): string[];
  /** Ends what is open, in its own time. */
  endWhenIdle(): void;
  close(graceMs: number): Promise<void>;
}

/** What takes the connections that the listeners have classified. */
function createConnections(
  { log, spool, publisher, inline, limiter = createLocalLimiter(), ...options }: IngressOptions,
  first: Pick<SessionSettings, "config" | "routing" | "authenticator">,
  { live, metrics, admission }: { live: Live<Config>; metrics: ConnectionMetrics; admission: Admission },
): Connections {
  const processMetrics = options.metrics === undefined ? {} : { metrics: options.metrics };
  const limits = createClientLimits({ live, admission, limiter, log, ...processMetrics });
  const mailLimit = limits.mailLimitOf(first.config);
  const canHide = createTransparentSource("hide", log);
  /** Where the process may not use a client's address, the remote server sees ours: mail goes on, and the log says so once. */
  const connect: ConnectToServer = (server, { timeoutMs, source }) =>
    connectToServer(server, { timeoutMs, ...(source !== undefined && canHide(source) ? { source } : {}) });
  const { ownConnections = createLocalOwnConnections() } = options;
  const traced = options.tracing === undefined ? {} : { tracing: options.tracing };
  const access = { connectToServer: connect, ownConnections, log, metrics };
  const outgoingProxy = createOutgoingProxy({ ...access, ...traced, config: first.config, mailLimit });
  const passThrough = createPassThrough({ ...access, live });
  const rejections = createRejections(live);
  const process = { spool, publisher, log, admission, ...processMetrics, ...traced };
  const sessions = createSessions({ ...first, ...process, inline, mailLimit });
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
    prepare(settings) {
      const mailLimit = limits.mailLimitOf(settings.config);
      const commits = [
        outgoingProxy.prepare({ config: settings.config, mailLimit }),
        sessions.prepare({ ...settings, mailLimit }),
      ];
      return () => {
        for (const commit of commits) commit();
      };
    },
    faults: () => sessions.faults,
    endWhenIdle() {
      sessions.endWhenIdle();
      outgoingProxy.endWhenIdle();
    },
    async close(graceMs) {
      limits.close();
      rejections.close();
      await Promise.all([sessions.close(graceMs), outgoingProxy.close(graceMs), passThrough.close(graceMs)]);
    },
  };
}

function describeDrain({ sinceMs, by, reason }: Drain): string {
  const why = reason === "" ? "" : ` (${reason})`;
  return `${by} has taken this host out of service at ${new Date(sinceMs).toISOString()}${why}`;
}

/** Four random characters for this process, then a count: short, and unique in any log of a year. */
function sessionIds(): () => string {
  const process = randomBytes(3).toString("base64url");
  let count = 0;
  return () => `${process}-${(++count).toString(36)}`;
}

/** Options of the configuration that have no effect here; mail goes on all the same. */
function warnOfUnavailableOptions(config: Config, log: Logger): void {
  for (const finding of findWarnings(config)) log.warn(formatFinding(finding));
  if (config.outgoing.require_auth && config.outgoing.starttls === "pass") {
    log.warn("outgoing.require_auth: it cannot be enforced behind a STARTTLS that is passed");
  }
}
