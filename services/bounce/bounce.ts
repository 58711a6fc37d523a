/**
 * The bounce service: makes the delivery status notifications that the spool records as pending.
 * Owns its consumer and its connections to Redis; the spool, the log and the metrics are its caller's.
 */
import { randomBytes } from "node:crypto";
import type { Config } from "../../shared/config/schema.ts";
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { type BounceConsumerOptions, consumeBounces } from "../../shared/queue/consumer.ts";
import { createJobMetrics } from "../../shared/queue/job-metrics.ts";
import { createProducer } from "../../shared/queue/producer.ts";
import { createPublisher } from "../../shared/queue/publisher.ts";
import { createPublisherMetrics } from "../../shared/queue/publisher-metrics.ts";
import { compileRouting, routeOf } from "../../shared/routing/classify.ts";
import { summarizeRoute } from "../../shared/routing/route.ts";
import { healthOf } from "../../shared/runtime/health-server.ts";
import { LiveValue } from "../../shared/runtime/live.ts";
import { type Logger, withEventSink } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { RedisConfig } from "../../shared/runtime/redis.ts";
import type { RunningService } from "../../shared/runtime/run-service.ts";
import { whySpoolFails } from "../../shared/runtime/spool-health.ts";
import type { Tracing } from "../../shared/runtime/tracing.ts";
import { watchShards } from "../../shared/shards/shard-health.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { createNotifier } from "./notifier.ts";
import { createBounceMetrics } from "./publish.ts";

export interface BounceOptions {
  config: Config;
  redis: RedisConfig;
  log: Logger;
  metrics?: Metrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
  spool: Spool;
  workerTiming?: BounceConsumerOptions["timing"];
}

/** Notifications made at once. Each takes a read, a few kilobytes of text and its share of a group commit. */
const concurrency = 20;

export async function startBounce(options: BounceOptions): Promise<RunningService> {
  const { redis, spool, metrics, tracing, config: first } = options;
  const events = createEventPublisher({ redis, log: options.log, events: first.events, metrics });
  const log = withEventSink(options.log, events);
  const watched = watchShards(redis, log);
  const producer = createProducer(redis, log);
  const publisher = createPublisher(
    producer,
    log,
    undefined,
    metrics && createPublisherMetrics(metrics),
    tracing,
  );
  const bounceMetrics = createBounceMetrics(metrics);
  const compile = (config: Config) => {
    const routing = compileRouting(config);
    const handle = createNotifier({
      config,
      log,
      metrics: bounceMetrics,
      ...(tracing === undefined ? {} : { tracing }),
      spool,
      schedule: (message, routes) => publisher.publish(message, routes),
      addDead: (job) => producer.addDead(job),
      summarizeRoute: (meta) => summarizeRoute(routeOf(routing, meta, 0)),
      now: Date.now,
      random: () => randomBytes(9),
    });
    return { handle, aggregationWindowMs: config.dsn.wave };
  };
  /** A job ends with the configuration that it began with. */
  const jobs = new LiveValue(compile(options.config));
  const consumer = consumeBounces({
    redis,
    log,
    concurrency,
    // Read at each job.
    get aggregationWindowMs() {
      return jobs.current.aggregationWindowMs;
    },
    handle: (task) => jobs.current.handle(task),
    ...(metrics === undefined ? {} : { metrics: createJobMetrics(metrics) }),
    ...(options.workerTiming === undefined ? {} : { timing: options.workerTiming }),
  });

  return {
    health: async () => healthOf(await Promise.all([watched.whyFails(), whySpoolFails(spool)])),
    async prepare(config) {
      const compiled = compile(config);
      return () => jobs.replace(compiled);
    },
    async close(graceMs) {
      await consumer.close(graceMs);
      await publisher.close(graceMs);
      await Promise.all([producer.close(), events.close()]);
      watched.close();
    },
  };
}
