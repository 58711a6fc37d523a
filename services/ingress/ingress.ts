/**
 * The ingress service: listeners, and behind them the queued sessions, the outgoing proxy and the tunnels.
 * Owns all of these; the spool, the publisher and the log are the caller's.
 */
import { randomBytes } from "node:crypto";
import type { Config } from "../../shared/config/schema.ts";
import type { Publisher } from "../../shared/queue/queue.ts";
import { compileRouting } from "../../shared/routing/classify.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { RunningService } from "../../shared/runtime/service.ts";
import { whyNotTransparent } from "../../shared/runtime/socket.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { type ConnectTo, connectTo } from "./connect-to.ts";
import { type Handlers, Listener } from "./listener.ts";
import { IngressMetrics } from "./metrics.ts";
import { createOutgoingProxy } from "./outgoing/outgoing-proxy.ts";
import { createOwnAddresses } from "./own-addresses.ts";
import { createPassThrough } from "./pass-through.ts";
import { createRejections } from "./rejection.ts";
import { createSessions } from "./session/sessions.ts";

export interface IngressOptions {
  config: Config;
  log: Logger;
  metrics?: Metrics;
  spool: Spool;
  publisher: Publisher;
  /** XCLIENT and XFORWARD of clients of the outgoing proxy; passed when absent. */
  xclient?: "pass" | "refuse";
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
  const { config, log, spool, publisher } = options;
  const metrics = new IngressMetrics(options.metrics);
  const routing = compileRouting(config);
  const connect = withHiding(config, log);
  const outgoingProxy = createOutgoingProxy({
    config,
    connectTo: connect,
    log,
    metrics,
    ...(options.xclient === undefined ? {} : { xclient: options.xclient }),
  });
  const passThrough = createPassThrough({ timeouts: config.timeouts, connectTo: connect, log, metrics });
  const rejections = createRejections(config.hostname);
  const sessions = createSessions({
    config,
    spool,
    publisher,
    log,
    routing,
    now: Date.now,
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
  const handlers: Handlers = {
    outgoingProxy: (socket, connection) => outgoingProxy.take(socket, connection),
    queue: (socket, connection, listener) => sessions.take(socket, connection, listener),
    tunnel: (socket, connection) => passThrough.take(socket, connection),
    reject: (socket) => rejections.take(socket),
  };
  const ownAddresses = createOwnAddresses();
  const nextSessionId = sessionIds();
  const listeners = config.listeners.map(
    (listener) => new Listener({ listener, routing, ownAddresses, handlers, log, metrics, nextSessionId }),
  );
  const started = await Promise.allSettled(listeners.map((listener) => listener.listen()));
  const failure = started.find((result) => result.status === "rejected");
  const closeListeners = () => Promise.all(listeners.map((listener) => listener.close()));
  if (failure !== undefined) {
    await closeListeners();
    await sessions.close(0);
    throw failure.reason;
  }
  const addresses = listeners.map(({ name, address }) => ({ listener: name, ...address }));
  for (const bound of addresses) log.info(bound, "listening");

  return {
    addresses,
    health() {
      const deaf = listeners.filter((listener) => !listener.isListening);
      return {
        ready: deaf.length === 0,
        reasons: deaf.map(({ name }) => `listener ${name} does not listen`),
      };
    },
    async close(graceMs) {
      await closeListeners();
      rejections.close();
      await Promise.all([sessions.close(graceMs), outgoingProxy.close(graceMs), passThrough.close(graceMs)]);
    },
  };
}

/** Four random characters for this process, then a count: short, and no two alike in any log of a year. */
function sessionIds(): () => string {
  const process = randomBytes(3).toString("base64url");
  let count = 0;
  return () => `${process}-${(++count).toString(36)}`;
}

/** Where the process may not take a client's address, the far server sees ours: mail goes on, and the log says so once. */
function withHiding(config: Config, log: Logger): ConnectTo {
  if (!config.outgoing.hide) return connectTo;
  const obstacle = whyNotTransparent();
  if (obstacle === undefined) return connectTo;
  log.warn(`outgoing.hide: far servers see the gateway's address: ${obstacle}`);
  return (server, { timeoutMs }) => connectTo(server, { timeoutMs });
}
