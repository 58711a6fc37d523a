/**
 * The delivery service: workers on both delivery queues, the SMTP client side, and the reconciler of the schedule.
 * Owns these and their connections to Redis; the spool, the log and the metrics are its caller's.
 */
import path from "node:path";
import type { Config } from "../../shared/config/schema.ts";
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import { livePolicy } from "../../shared/limits/dead-destinations.ts";
import {
  consumeDeliveries,
  type DeliveryConsumerOptions,
  deliveryShares,
} from "../../shared/queue/consumer.ts";
import type { Consumer } from "../../shared/queue/contract/queue.ts";
import { createHolds } from "../../shared/queue/holds/store.ts";
import { createJobMetrics } from "../../shared/queue/job-metrics.ts";
import { createProducer } from "../../shared/queue/producer.ts";
import { createReconciler, type ReconcilerTiming } from "../../shared/queue/reconcile/reconciler.ts";
import { compileRouting, type Routing, routeOf } from "../../shared/routing/classify.ts";
import { summarizeRoute } from "../../shared/routing/route.ts";
import { healthOf } from "../../shared/runtime/health-server.ts";
import { longestStopMs } from "../../shared/runtime/interruption.ts";
import { LiveValue } from "../../shared/runtime/live.ts";
import { type Logger, withEventSink } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { RedisConfig } from "../../shared/runtime/redis.ts";
import type { RunningService } from "../../shared/runtime/run-service.ts";
import type { Tracing } from "../../shared/runtime/tracing.ts";
import { watchShards } from "../../shared/shards/shard-health.ts";
import { createSmtpClient, transparentSource } from "../../shared/smtp-client/create-smtp-client.ts";
import { scanFileName } from "../../shared/spool/handover/handover-file.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { createDeliveryMetrics, registerUnscheduled } from "./delivery-metrics.ts";
import type { Router } from "./plan.ts";
import { withReroutes } from "./reroutes.ts";
import { createDeliveryWorker } from "./worker.ts";

export interface DeliveryOptions {
  config: Config;
  redis: RedisConfig;
  log: Logger;
  metrics?: Metrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
  spool: Spool;
  /** Where the hold rules have their second copy: `holds.json` in the spool's directory. */
  holdsFile: string;
  reconcilerTiming?: Partial<ReconcilerTiming>;
  workerTiming?: DeliveryConsumerOptions["timing"];
}

/** @throws Error when certificate files or name servers of the configuration are not there */
export async function startDelivery(options: DeliveryOptions): Promise<RunningService> {
  const { redis, spool, config: first } = options;
  const events = createEventPublisher({ ...options, events: first.events, metrics: options.metrics });
  const log = withEventSink(options.log, events);
  const live = new LiveValue(first);
  const { concurrency } = first.delivery;
  const limiter = createClusterLimiter({
    redis,
    log,
    metrics: options.metrics,
    deadDestinations: livePolicy(live),
  });
  const smtpClient = createSmtpClient(first, {
    limiter,
    transparentSourceOf: transparentSource(options.config, log),
  });
  limiter.publishConnections(() => smtpClient.connections());
  const watched = watchShards(redis, log);
  const producer = createProducer(redis, log);
  const holds = createHolds({ redis, file: options.holdsFile, log });
  const deliveryMetrics = createDeliveryMetrics(options.metrics, concurrency);
  const compile = (config: Config) => {
    const router = createRouter(compileRouting(config));
    const handle = createDeliveryWorker({
      config,
      log,
      metrics: deliveryMetrics,
      spool,
      producer,
      smtpClient,
      ...(options.tracing === undefined ? {} : { tracing: options.tracing }),
      shares: deliveryShares(concurrency),
      router,
      now: Date.now,
      jitter: Math.random,
    });
    return { router, handle };
  };
  /** A job ends with the configuration that it began with. */
  const jobs = new LiveValue(compile(options.config));
  const reconciler = createReconciler({
    spool,
    redis,
    // Read at each scan.
    get config() {
      return live.current;
    },
    log,
    holds,
    scanFile: path.join(path.dirname(options.holdsFile), scanFileName),
    summarizeRoute: ({ meta }, part, states) =>
      summarizeRoute(withReroutes(jobs.current.router, states).route(meta, meta.parts[part]?.[0] ?? 0)),
    ...(options.reconcilerTiming === undefined ? {} : { timing: options.reconcilerTiming }),
  });
  if (options.metrics) registerUnscheduled(options.metrics, reconciler);
  const jobMetrics = options.metrics && createJobMetrics(options.metrics);
  let consumer: Consumer | undefined;
  let closing = false;
  // No job is taken before the hold rules are known, so that no held mail is delivered.
  void holds.ready.then(() => {
    if (closing) return;
    consumer = consumeDeliveries({
      redis,
      log,
      concurrency,
      holds,
      handle: (task) => jobs.current.handle(task),
      ...(jobMetrics === undefined ? {} : { metrics: jobMetrics }),
      ...(options.workerTiming === undefined ? {} : { timing: options.workerTiming }),
    });
  });

  return {
    async health() {
      const redisFault = await watched.whyFails();
      const isStarting = redisFault === undefined && consumer === undefined;
      const health = healthOf([redisFault, isStarting ? "the hold rules are not known yet" : undefined]);
      const { left } = reconciler;
      return left === 0 ? health : { ...health, warnings: [describeLeft(left)] };
    },
    unscheduled: () => reconciler.left,
    longestStopMs,
    async prepare(config) {
      const compiled = compile(config);
      const commitClient = smtpClient.prepare(config, transparentSource(config, log));
      return () => {
        commitClient();
        jobs.replace(compiled);
        live.replace(config);
      };
    },
    async close(graceMs) {
      closing = true;
      const cut = setTimeout(() => smtpClient.stop(), longestStopMs(graceMs));
      await Promise.all([consumer?.close(graceMs), reconciler.close()]);
      clearTimeout(cut);
      // The attempts have ended: the connections that are left are idle, and get their QUIT.
      await smtpClient.close(Math.min(graceMs, live.current.timeouts.quit));
      await limiter.close();
      await Promise.all([holds.close(), producer.close(), events.close()]);
      watched.close();
    },
  };
}

function describeLeft(messages: number): string {
  const wait = messages === 1 ? "1 message waits" : `${messages} messages wait`;
  return `${wait} in the spool until Redis has room; raise maxmemory`;
}

/** Routes messages of the spool by the facts of the connection that they arrived on. */
function createRouter(routing: Routing): Router {
  return {
    route: (meta, recipient) => routeOf(routing, meta, recipient),
    backup: ({ envelope }, recipient) =>
      routing.backupRoute(envelope.recipients[recipient]?.address ?? "")?.nextHop,
    via: ({ envelope }, recipient, via) =>
      routing.nextHopVia(via, envelope.recipients[recipient]?.address ?? ""),
  };
}
