/** The ingress service as a process of its own. It owns the queue's producer and publisher, the limiter, the own connections and inline delivery's deps. */

import type { Config } from "../../shared/config/schema.ts";
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import {
  type ClusterLoginFailures,
  createClusterLoginFailures,
} from "../../shared/limits/cluster-login-failures.ts";
import { createClusterOwnConnections } from "../../shared/limits/cluster-own-connections.ts";
import { livePolicy } from "../../shared/limits/dead-destinations.ts";
import { formatHostPort } from "../../shared/net/endpoint.ts";
import { createProducer } from "../../shared/queue/producer.ts";
import { createPublisher } from "../../shared/queue/publisher.ts";
import { createPublisherMetrics } from "../../shared/queue/publisher-metrics.ts";
import { LiveValue } from "../../shared/runtime/live.ts";
import { withEventSink } from "../../shared/runtime/log.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { type RunOptions, runWithSpool } from "../../shared/runtime/run-service.ts";
import { startIngress } from "./ingress.ts";
import { createInlineDeps, type OwnedInlineDeps, usesInline } from "./inline/inline-dependencies.ts";

/** Runs until a signal ends the process. */
export function main(options: RunOptions): Promise<void> {
  return runWithSpool(
    "ingress",
    async ({ config, redis, metrics, spool, holdsFile, ...context }) => {
      const events = createEventPublisher({ redis, log: context.log, events: config.events, metrics });
      const log = withEventSink(context.log, events);
      const live = new LiveValue(config);
      const producer = createProducer(redis, log);
      const watched = createRedis(redis, "plain", log);
      const publisher = createPublisher(
        producer,
        log,
        undefined,
        createPublisherMetrics(metrics),
        context.tracing,
      );
      // Clients and the destinations of inline delivery are counted by the same leases.
      const limiter = createClusterLimiter({ redis, log, metrics, deadDestinations: livePolicy(live) });
      let inline: OwnedInlineDeps | undefined;
      limiter.publishConnections(() => inline?.connections() ?? new Map());
      // Where every client means this gateway itself, no connection is opened to another server.
      const ownConnections = config.listeners.some(({ destination }) => destination !== "self")
        ? createClusterOwnConnections({ redis, log })
        : undefined;
      let loginFailures: ClusterLoginFailures | undefined;
      /** What was needed once is kept until the process ends. */
      const needsOf = (config: Config) => {
        if (config.auth !== undefined) loginFailures ??= createClusterLoginFailures({ redis, log });
        if (usesInline(config))
          inline ??= createInlineDeps({ config, redis, holdsFile, log, producer, limiter });
        return {
          ...(inline === undefined ? {} : { inline }),
          ...(loginFailures === undefined ? {} : { loginFailures }),
        };
      };
      const ingress = await startIngress({
        config,
        log,
        metrics,
        ...(context.tracing === undefined ? {} : { tracing: context.tracing }),
        spool,
        publisher,
        redis: watched,
        limiter,
        ...needsOf(config),
        ...(ownConnections === undefined ? {} : { ownConnections }),
        ...(options.sockets === undefined ? {} : { sockets: options.sockets }),
        ...(options.worker === undefined ? {} : { workers: options.worker.of }),
      });
      return {
        ...ingress,
        listening: ingress.addresses.map(
          ({ listener, address, port }) => `${listener} smtp://${formatHostPort({ host: address, port })}`,
        ),
        async prepare(next) {
          const commitIngress = await ingress.prepare(next, needsOf(next));
          const commitInline = inline?.prepare(next);
          return () => {
            commitInline?.();
            commitIngress();
            live.replace(next);
          };
        },
        async close(graceMs) {
          await ingress.close(graceMs);
          await inline?.close();
          await limiter.close();
          loginFailures?.close();
          ownConnections?.close();
          await publisher.close(graceMs);
          await Promise.all([producer.close(), events.close()]);
          watched.disconnect();
        },
      };
    },
    options,
  );
}
