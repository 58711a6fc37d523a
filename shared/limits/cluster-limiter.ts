/**
 * Limits that hold for all processes that share a Redis: connection slots, rates, dead destinations and retry slots.
 * While Redis is away each process keeps the limits for itself, and mail goes on. It owns a connection to Redis; close()
 * gives back what it has leased and ends it.
 */
import type { Logger } from "../runtime/log.ts";
import type { Metrics, Tally } from "../runtime/metrics.ts";
import { createRedis, type RedisConfig } from "../runtime/redis.ts";
import { ClusterDeadDestinations } from "./cluster-dead-destinations.ts";
import { ClusterRates } from "./cluster-rates.ts";
import { ClusterSlots } from "./cluster-slots.ts";
import { ConnectionPublisher, type PhaseCounts } from "./connection-phases.ts";
import type { DeadDestinationPolicy } from "./dead-destinations.ts";
import type { Limiter } from "./limiter.ts";
import { createLocalLimiter } from "./local-limiter.ts";
import { RedisWithDeadline } from "./redis-with-deadline.ts";
import { ClusterRetrySlots, LocalRetrySlots } from "./retry-slots.ts";

export interface ClusterLimiterOptions {
  redis: RedisConfig;
  log: Logger;
  /** Absent: no dead destination is remembered. */
  deadDestinations?: DeadDestinationPolicy;
  metrics?: Metrics | undefined;
  /** A process that died keeps its connections for so long. */
  leaseMs?: number;
  /** How long mail waits for an answer of Redis before this process decides alone; for tests on slow machines. */
  redisAnswerMs?: number;
}

export interface ClusterLimiter extends Limiter {
  /** Lets operators see what this process does with its connections, until close(). */
  publishConnections(connections: () => Map<string, PhaseCounts>): void;
  close(): Promise<void>;
}

/** The system's clock may be set while connections and rates are counted: they go by the process' own. */
const monotonicMs = () => performance.now();

const usualLeaseMs = 15_000;
/** How often what is not needed any more is given back; until then the next connection may have it. */
const sweepMs = 100;

export function createClusterLimiter(options: ClusterLimiterOptions): ClusterLimiter {
  const { log, leaseMs = usualLeaseMs } = options;
  const policy = options.deadDestinations ?? { firstMs: 0, maxMs: 0 };
  const redis = new RedisWithDeadline(createRedis(options.redis, "producer", log), options.redisAnswerMs);
  const local = createLocalLimiter({ deadDestinations: policy, now: monotonicMs });
  const deadDestinations = new ClusterDeadDestinations(redis, policy);
  const slots = new ClusterSlots({ redis, deadDestinations, local, leaseMs });
  const rates = new ClusterRates(redis, local);
  const retrySlots = new ClusterRetrySlots(redis, new LocalRetrySlots(monotonicMs, Math.random));
  const sweeper = setInterval(() => {
    rates.sweep();
    slots.sweep();
  }, sweepMs).unref();
  const learntLimits = options.metrics && createLimiterMetrics(options.metrics);
  let published: ConnectionPublisher | undefined;
  let isClosed = false;

  return {
    takeSlot: (request) => slots.take(request),
    async reportFull(destination, connections) {
      const isLearnt = await slots.reportFull(destination, connections);
      if (isLearnt) {
        learntLimits?.add();
        log.info(
          { destination, limit: connections },
          "a server refused a connection as one too many: it gets fewer",
        );
      }
      return isLearnt;
    },
    exceedsShare: (destination) => slots.exceedsShare(destination),
    admitMessage: (destination, rate) => rates.admitMessage(destination, rate),
    refundMessage: (destination, rate) => rates.refundMessage(destination, rate),
    takeRetrySlot: (retryQueue, request) => retrySlots.take(retryQueue, request),

    reportAnswer(destination, reachabilityKey, tookMs) {
      slots.answersOf(destination).answered(monotonicMs(), tookMs);
      if (!deadDestinations.reportAnswer(reachabilityKey)) return;
      local.reportAnswer(destination, reachabilityKey, tookMs);
    },

    reportNoAnswer(destination, reachabilityKey, diagnosis, startedMs) {
      const answers = slots.answersOf(destination);
      const tookMs = Math.max(0, Date.now() - startedMs);
      const begunMs = monotonicMs() - tookMs;
      answers.failed(monotonicMs());
      if (policy.firstMs === 0 || answers.hasAnsweredSince(begunMs)) return;
      local.reportNoAnswer(destination, reachabilityKey, diagnosis, begunMs);
      deadDestinations.reportNoAnswer(destination, reachabilityKey, diagnosis, tookMs);
    },

    publishConnections(connections) {
      published = new ConnectionPublisher({ redis: redis.connection, process: slots.process, connections });
    },

    async close() {
      if (isClosed) return;
      isClosed = true;
      published?.close();
      clearInterval(sweeper);
      await Promise.all([slots.close(), rates.close()]);
      redis.connection.disconnect();
    },
  };
}

/** What the limiter counts of limits that servers have taught it. */
export function createLimiterMetrics(metrics: Metrics): Tally {
  return metrics
    .counter(
      "destination_limits_learnt_total",
      "Refusals by servers that had too many connections (421): they get fewer than their limit for a while. Grows for one destination: give it a lower one in limits.destinations.",
    )
    .with();
}
