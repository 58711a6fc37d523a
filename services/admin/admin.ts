/**
 * The admin service: health, metrics, API, dashboard and Bull Board on one HTTP port.
 * Owns its connections to Redis and the HTTP server; close() ends them. The spool belongs to the caller.
 */
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { fastifySSE } from "@fastify/sse";
import type { Config } from "../../shared/config/schema.ts";
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { createShardedEventReader } from "../../shared/events/stream/sharded-reader.ts";
import { openBoardQueues } from "../../shared/queue/bullmq/board.ts";
import { createHolds } from "../../shared/queue/holds/store.ts";
import { createInspector } from "../../shared/queue/operator/inspector.ts";
import { createProducer } from "../../shared/queue/producer.ts";
import { readAnnouncements } from "../../shared/runtime/announcement.ts";
import { type Health, reachableUrl } from "../../shared/runtime/health-server.ts";
import { LiveValue } from "../../shared/runtime/live.ts";
import { type Logger, withEventSink } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { RedisConfig } from "../../shared/runtime/redis.ts";
import type { RunningService } from "../../shared/runtime/run-service.ts";
import { cannotListen } from "../../shared/runtime/start-failure.ts";
import { readTraffic } from "../../shared/runtime/traffic.ts";
import { KnownShards } from "../../shared/shards/known-shards.ts";
import { ShardConnections } from "../../shared/shards/shard-connections.ts";
import { createSmtpClient, type SmtpClientOptions } from "../../shared/smtp-client/create-smtp-client.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { mountBoard } from "./board.ts";
import { createFederation } from "./federation/federation.ts";
import { registerGauges } from "./gauges.ts";
import { askServices } from "./live-services.ts";
import { mountPage } from "./page/assets.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import type { AccessPolicy } from "./routes/access.ts";
import { allRoutes } from "./routes/all-routes.ts";
import type { AdminDependencies } from "./routes/dependencies.ts";
import { createEventFeed } from "./routes/event-feed.ts";
import { checkReadiness } from "./routes/readiness.ts";
import { registerRoutes } from "./routes/route.ts";
import { createServer } from "./server.ts";
import { shareUnderWay } from "./share-under-way.ts";
import { watchSpool } from "./spool-watch.ts";
import { TaskRunner } from "./tasks/task-runner.ts";
import { findTokens } from "./token.ts";

export interface AdminOptions {
  config: Config;
  redis: RedisConfig;
  log: Logger;
  metrics: Metrics;
  spool: Spool;
  /** The durable copy of the hold rules, beside the spool. */
  holdsFile: string;
  /** Epoch milliseconds. */
  now?: () => number;
  /** For probes; for tests. */
  smtpClient?: SmtpClientOptions;
}

export interface AdminService extends RunningService {
  /** Where it listens: `http://127.0.0.1:8025`. */
  readonly url: string;
}

/** As much as the rates of the API show. */
const trafficMinutes = 60;
/** Below the time-outs of proxies, and of the server itself for an idle connection. */
const heartbeatMs = 15_000;

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

/** @throws CannotStart when the address cannot be listened on, Error when the token can be neither read nor created */
export async function startAdmin(options: AdminOptions): Promise<AdminService> {
  const { metrics, spool, holdsFile, now = Date.now } = options;
  const settingsOf = async (config: Config) => ({
    config,
    tokens: await findTokens(config.admin, path.resolve(config.data)),
    hostNames: [config.hostname, config.admin.address].map((name) => name.toLowerCase()),
  });
  const live = new LiveValue(await settingsOf(options.config));
  const eventPublisher = createEventPublisher({ ...options, events: options.config.events });
  const log = withEventSink(options.log, eventPublisher);
  const connections = new ShardConnections(options.redis, "plain", log);
  const shards = new KnownShards(connections, options.redis.shards ?? 1, log);
  const redis = connections.global;
  const eventShards = new KnownShards(connections, options.redis.shards ?? 1, log, "events");
  const events = createShardedEventReader(eventShards);
  const holds = createHolds({ redis: options.redis, file: holdsFile, log });
  const inspector = createInspector({
    redis: options.redis,
    holds,
    log,
    // Read at each look-up.
    get maxRecipients() {
      return live.current.config.limits.recipients;
    },
  });
  const producer = createProducer(options.redis, log);
  const board = openBoardQueues(options.redis, log);
  const spoolWatch = watchSpool(spool, path.dirname(holdsFile));
  const services = shareUnderWay(async () => askServices(await readAnnouncements(redis)));
  const memoryInfo = shareUnderWay(() => redis.info("memory"));
  const health = (): Promise<Health> => checkReadiness({ redis, memoryInfo, spool, services });
  const deps: AdminDependencies = {
    get config() {
      return live.current.config;
    },
    log,
    spool,
    redis,
    memoryInfo,
    traffic: shareUnderWay(() => readTraffic(redis, trafficMinutes, now())),
    shards,
    inspector,
    holds,
    producer,
    events,
    services,
    spoolStatus: spoolWatch.status,
    oldestMs() {
      const { dead: _, ...byQueue } = inspector.oldest() ?? {};
      const receivedAtMs = Math.min(...Object.values(byQueue));
      return Number.isFinite(receivedAtMs) ? Math.max(0, now() - receivedAtMs) : undefined;
    },
    health,
    now,
  };
  const tasks = new TaskRunner(deps);
  registerGauges(metrics, deps);
  const federation = createFederation({ metrics, announced: () => readAnnouncements(redis) });

  const eventFeed = createEventFeed(deps);
  // Made for the first probe: reading the certificate authorities takes a while.
  let smtpClient: ReturnType<typeof createSmtpClient> | undefined;
  const prober = () => {
    smtpClient ??= createSmtpClient(deps.config, options.smtpClient);
    smtpClient.prepare(deps.config)();
    return smtpClient;
  };
  const routes = allRoutes({
    deps,
    tasks,
    prober,
    stream: eventFeed.route,
    metrics: { contentType: metrics.contentType, text: federation.text },
    version,
  });
  // Read at each request.
  const policy: AccessPolicy = {
    get tokens() {
      return live.current.tokens;
    },
    get hostNames() {
      return live.current.hostNames;
    },
  };
  const app = createServer(routes, policy, log, createRequestMetrics(metrics));
  const closeAll = async (): Promise<void> => {
    await tasks.close();
    spoolWatch.close();
    await Promise.allSettled([
      smtpClient?.close(0),
      board.close(),
      inspector.close(),
      producer.close(),
      holds.close(),
      eventPublisher.close(),
    ]);
    shards.close();
    eventShards.close();
    connections.disconnect();
  };
  try {
    await app.register(fastifySSE, { heartbeatInterval: heartbeatMs });
    registerRoutes(app, routes);
    mountPage(app);
    await mountBoard(app, board);
    const { address, port } = options.config.admin;
    await app.listen({ host: address, port }).catch((error: Error) => {
      throw cannotListen("admin", { address, port }, error);
    });
  } catch (error) {
    await app.close();
    await closeAll();
    throw error;
  }
  const { address, port } = app.server.address() as AddressInfo;
  return {
    url: reachableUrl(address, port),
    health,
    async prepare(config) {
      const settings = await settingsOf(config);
      return () => live.replace(settings);
    },
    async close(graceMs) {
      const late = setTimeout(() => app.server.closeAllConnections(), graceMs);
      eventFeed.close();
      await app.close();
      clearTimeout(late);
      await closeAll();
    },
  };
}
