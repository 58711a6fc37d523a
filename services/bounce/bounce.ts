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
import { type Logger, withEventSink } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import { createRedis, type RedisConfig } from "../../shared/runtime/redis.ts";
import { whyRedisFails } from "../../shared/runtime/redis-health.ts";
import type { RunningService } from "../../shared/runtime/run-service.ts";
import { whySpoolFails } from "../../shared/runtime/spool-health.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { createNotifier } from "./notifier.ts";
import { createBounceMetrics } from "./publish.ts";

export interface BounceOptions {
  config: Config;
  redis: RedisConfig;
  log: Logger;
  metrics?: Metrics;
  spool: Spool;
  workerTiming?: BounceConsumerOptions["timing"];
}

/** Notifications made at once. Each takes a read, a few kilobytes of text and its share of a group commit. */
const concurrency = 20;

export async function startBounce(options: BounceOptions): Promise<RunningService> {
  const { config, redis, spool } = options;
  const { metrics } = options;
  const events = createEventPublisher({ redis, log: options.log, events: config.events, metrics });
  const log = withEventSink(options.log, events);
  const routing = compileRouting(config);
  const watched = createRedis(redis, "plain", log);
  const producer = createProducer(redis, log);
  const publisher = createPublisher(producer, log, undefined, metrics && createPublisherMetrics(metrics));
  const handle = createNotifier({
    config,
    log,
    metrics: createBounceMetrics(metrics),
    spool,
    schedule: (message, routes) => publisher.publish(message, routes),
    addDead: (job) => producer.addDead(job),
    summarizeRoute: (meta) => summarizeRoute(routeOf(routing, meta, 0)),
    now: Date.now,
    random: () => randomBytes(9),
  });
  const consumer = consumeBounces({
    redis,
    log,
    concurrency,
    aggregationWindowMs: config.dsn.wave,
    handle,
    ...(metrics === undefined ? {} : { metrics: createJobMetrics(metrics) }),
    ...(options.workerTiming === undefined ? {} : { timing: options.workerTiming }),
  });

  return {
    health: async () => healthOf(await Promise.all([whyRedisFails(watched), whySpoolFails(spool)])),
    async close(graceMs) {
      await consumer.close(graceMs);
      await publisher.close(graceMs);
      await Promise.all([producer.close(), events.close()]);
      watched.disconnect();
    },
  };
}
