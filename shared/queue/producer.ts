/**
 * The room of the queues: producer, publisher and consumer, which services use. The producer adds jobs: idempotent by
 * job id, many in one step, never waiting long. It owns one connection; close() ends it.
 */
import type { RouteSummary } from "../routing/route.ts";
import type { Logger } from "../runtime/log.ts";
import {
  canBeReplaced,
  createRedis,
  queuePrefix,
  type RedisConfig,
  type RedisConnection,
} from "../runtime/redis.ts";
import { withTimeout } from "../runtime/with-timeout.ts";
import type { StoredMessage } from "../spool/spool.ts";
import { addJobs, type NewJob } from "./bullmq/jobs.ts";
import { inBatches, type Load } from "./contract/batches.ts";
import { type DeliveryQueueName, deliveryJobId } from "./contract/contract.ts";
import { deadJobId } from "./contract/dead-job.ts";
import { bounceId, makeDeliveryJob } from "./contract/delivery-job.ts";
import type { Producer } from "./contract/queue.ts";

/** One recipient group of a message to enqueue. */
export interface GroupToEnqueue {
  message: StoredMessage;
  /** Number of the group. */
  group: number;
  /** Its route until the first attempt. */
  route: RouteSummary;
  /** A worker may have had an earlier job of it. */
  redelivery: boolean;
  /** How long holds have kept it so far. */
  heldMs?: number;
}

export interface QueueProducer extends Producer {
  /**
   * As addDeliveries, for single recipient groups.
   * @param queue  `delivery` when absent
   * @returns how many jobs it added
   */
  addGroups(groups: Iterable<GroupToEnqueue>, queue?: DeliveryQueueName): Promise<number>;
  /** Asks the reconciler to compare the queues with the spool. */
  requestScan(): Promise<void>;
}

/** A counter: publishers increment it when the queues may lack mail that they accepted; the reconciler scans then. */
export const scanRequestsKey = `${queuePrefix}:keeper:scans`;

/** Of a payload without its addresses. */
const octetsOfPayload = 500;

/** For callers that name no route: the job gets one at its first attempt. */
const unknownRoute: RouteSummary = { label: "", aliases: [] };

/** How long any step of a call here may take before the call rejects. */
const timeLimitMs = 4_000;

/** Redis did not answer in time; what was asked for may have happened all the same. */
export class QueueTimeout extends Error {
  override name = "QueueTimeout";
}

export function createProducer(redisConfig: RedisConfig, log: Logger): QueueProducer {
  const redis = createRedis(redisConfig, "producer", log);
  if (canBeReplaced(redisConfig)) requestScansAfterFailovers(redis);

  const addGroups = async (
    groups: Iterable<GroupToEnqueue>,
    queue: DeliveryQueueName = "delivery",
  ): Promise<number> => {
    let added = 0;
    for (const batch of inBatches(groups, loadOfGroup)) {
      const nowMs = Date.now();
      const jobs = batch.map((group) => newDelivery(group, nowMs));
      added += await inTime(addJobs(redis, queue, jobs));
    }
    return added;
  };

  return {
    addGroups,

    async addDeliveries(messages) {
      await addGroups(groupsOf(messages));
    },

    async addBounce(job, delayMs) {
      const isShared = job.kind === "failed" || job.kind === "delayed" || job.kind === "succeeded";
      const jobs = [{ jobId: bounceId(job), payload: job, delayMs }];
      await inTime(addJobs(redis, "bounce", jobs, { flagActive: isShared }));
    },

    async addDead(job) {
      await inTime(addJobs(redis, "dead", [{ jobId: deadJobId(job), payload: job }]));
    },

    async requestScan() {
      await inTime(redis.incr(scanRequestsKey));
    },

    async close() {
      redis.disconnect();
    },
  };
}

/** What a server had taken before another took over from it may be lost, also after the reconciler has compared. */
function requestScansAfterFailovers(redis: RedisConnection): void {
  redis.once("ready", () => redis.on("ready", () => redis.incr(scanRequestsKey).catch(() => {})));
}

function* groupsOf(messages: Parameters<Producer["addDeliveries"]>[0]): Generator<GroupToEnqueue, void> {
  for (const { message, routes, redelivery = false } of messages) {
    for (const group of message.meta.parts.keys()) {
      yield { message, group, route: routes[group] ?? unknownRoute, redelivery };
    }
  }
}

/** A payload has the addresses of the group twice for a moment: as text, and as text within the command. */
function loadOfGroup({ message, group }: GroupToEnqueue): Load {
  const recipients = message.meta.parts[group] ?? [];
  let octets = 2 * octetsOfPayload;
  for (const recipient of recipients) {
    octets += 2 * (message.meta.envelope.recipients[recipient]?.address.length ?? 0);
  }
  return { jobs: 1, octets };
}

/** A group that was tried inline is due when its first wait is over; any other at once. */
function newDelivery(
  { message, group, route, redelivery, heldMs = 0 }: GroupToEnqueue,
  nowMs: number,
): NewJob {
  const payload = makeDeliveryJob(message, group, route, redelivery);
  if (heldMs > 0) payload.heldMs = heldMs;
  const dueMs = payload.history === undefined ? nowMs : (message.meta.tried?.untilMs ?? nowMs);
  return { jobId: deliveryJobId(payload.id, group), payload, delayMs: Math.max(0, dueMs - nowMs) };
}

function inTime<T>(work: Promise<T>): Promise<T> {
  return withTimeout(
    work,
    timeLimitMs,
    () => new QueueTimeout(`Redis did not answer within ${timeLimitMs} ms`),
  );
}
