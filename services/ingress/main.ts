/** The ingress service as a process of its own. It owns the queue's producer and publisher, the limiter, the own connections and inline delivery's deps. */
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import { createClusterLoginFailures } from "../../shared/limits/cluster-login-failures.ts";
import { createClusterOwnConnections } from "../../shared/limits/cluster-own-connections.ts";
import { deadDestinationPolicy } from "../../shared/limits/dead-destinations.ts";
import { formatHostPort } from "../../shared/net/endpoint.ts";
import { createProducer } from "../../shared/queue/producer.ts";
import { createPublisher } from "../../shared/queue/publisher.ts";
import { createPublisherMetrics } from "../../shared/queue/publisher-metrics.ts";
import { withEventSink } from "../../shared/runtime/log.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { type RunOptions, runWithSpool } from "../../shared/runtime/run-service.ts";
import { startIngress } from "./ingress.ts";
import { createInlineDeps, usesInline } from "./inline/inline-dependencies.ts";

/** Runs until a signal ends the process. */
export function main(options: RunOptions): Promise<void> {
  return runWithSpool(
    "ingress",
    async ({ config, redis, metrics, spool, holdsFile, ...context }) => {
      const events = createEventPublisher({ redis, log: context.log, events: config.events, metrics });
      const log = withEventSink(context.log, events);
      const producer = createProducer(redis, log);
      const watched = createRedis(redis, "plain", log);
      const publisher = createPublisher(producer, log, undefined, createPublisherMetrics(metrics));
      const { connections, rate } = config.limits.clients;
      // Clients and the destinations of inline delivery are counted by the same leases.
      const limiter =
        usesInline(config) || connections > 0 || rate !== undefined
          ? createClusterLimiter({ redis, log, deadDestinations: deadDestinationPolicy(config) })
          : undefined;
      const loginFailures = config.auth && createClusterLoginFailures({ redis, log });
      // Where every client means this gateway itself, no connection is opened to another server.
      const ownConnections = config.listeners.some(({ destination }) => destination !== "self")
        ? createClusterOwnConnections({ redis, log })
        : undefined;
      const inline =
        limiter !== undefined && usesInline(config)
          ? createInlineDeps({ config, redis, holdsFile, log, producer, limiter })
          : undefined;
      const ingress = await startIngress({
        config,
        log,
        metrics,
        spool,
        publisher,
        redis: watched,
        ...(limiter === undefined ? {} : { limiter }),
        ...(inline === undefined ? {} : { inline }),
        ...(loginFailures === undefined ? {} : { loginFailures }),
        ...(ownConnections === undefined ? {} : { ownConnections }),
      });
      return {
        ...ingress,
        listening: ingress.addresses.map(
          ({ listener, address, port }) => `${listener} smtp://${formatHostPort({ host: address, port })}`,
        ),
        async close(graceMs) {
          await ingress.close(graceMs);
          await inline?.close();
          await limiter?.close();
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
