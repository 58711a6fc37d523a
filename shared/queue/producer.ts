/**
 * The room of the queues: producer, publisher and consumer, which services use. The producer adds jobs: idempotent by
 * job id, many in one step, never waiting long. The id of a message says in which shard its jobs are. It owns a connection
 * to each shard; close() ends them.
 */
import type { RouteSummary } from "../routing/route.ts";
import type { Logger } from "../runtime/log.ts";
import { canBeReplaced, queuePrefix, type RedisConfig } from "../runtime/redis.ts";
import { withTimeout } from "../runtime/with-timeout.ts";
import { ShardClaims } from "../shards/registry.ts";
import { prefixOfId } from "../shards/shard.ts";
import { ShardConnections } from "../shards/shard-connections.ts";
import type { StoredMessage } from "../spool/spool.ts";
import { addJobs, type NewJob } from "./bullmq/jobs.ts";
import { inBatches, type Load } from "./contract/batches.ts";
import { type DeliveryQueueName, deliveryJobId, type QueueName } from "./contract/contract.ts";
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
  const connections = new ShardConnections(redisConfig, "producer", log);
  const claims = new ShardClaims(connections.global);
  if (canBeReplaced(redisConfig)) requestScansAfterFailovers(connections);

  /** Jobs of any messages. @returns how many it added */
  const add = async (queue: QueueName, jobs: readonly NewJob[], options?: { flagActive?: boolean }) => {
    const byPrefix = Map.groupBy(jobs, ({ jobId }) => prefixOfId(jobId));
    await claims.claim(byPrefix.keys());
    let added = 0;
    const calls = [...byPrefix].map(([prefix, some]) =>
      addJobs(connections.of(prefix), queue, some, options),
    );
    // Not Promise.all: a rejection must not leave calls running that the caller then repeats.
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === "rejected") throw result.reason;
      added += result.value;
    }
    return added;
  };

  const addGroups = async (
    groups: Iterable<GroupToEnqueue>,
    queue: DeliveryQueueName = "delivery",
  ): Promise<number> => {
    let added = 0;
    for (const batch of inBatches(groups, loadOfGroup)) {
      const nowMs = Date.now();
      const jobs = batch.map((group) => newDelivery(group, nowMs));
      added += await inTime(add(queue, jobs));
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
      await inTime(add("bounce", jobs, { flagActive: isShared }));
    },

    async addDead(job) {
      await inTime(add("dead", [{ jobId: deadJobId(job), payload: job }]));
    },

    async requestScan() {
      await inTime(connections.global.incr(scanRequestsKey));
    },

    async close() {
      connections.disconnect();
    },
  };
}

/** What a server had taken before another took over from it may be lost, also after the reconciler has compared. */
function requestScansAfterFailovers(connections: ShardConnections): void {
  const wereReady = new Set<string>();
  connections.onReady(({ prefix }) => {
    if (wereReady.has(prefix)) connections.global.incr(scanRequestsKey).catch(() => {});
    wereReady.add(prefix);
  });
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
