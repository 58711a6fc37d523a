/**
 * Makes the schedule agree with the spool, once. It owns nothing.
 *
 * Whoever works on a job settles in the spool first and ends the job afterwards. The order of reading here turns that
 * around: first whether the job exists, then, if it does not, the states again and `fresh`.
 * - The job ended before we looked for it: its settlement came before that, so the fresh states show it. Nothing to do.
 * - Redis forgot the job: the states still say pending. It is added.
 * - The message was accepted a moment ago and its publisher is about to add it: we add it, and the publisher's add
 *   finds it. Should the job be worked on and end between the two, the publisher's comes as a second job; that one
 *   finds nothing pending, since workers read the states, and `fresh` for whatever may have run before.
 * Looking for the job after the states, instead, would add again what was settled and ended in between.
 * A job is in `delivery` or in `delivery-slow`; one EXISTS looks at both at once, so it cannot slip from one to the
 * other between two looks, and the script that adds looks at both again.
 */
import type { Config } from "../../config/schema.ts";
import type { RouteSummary } from "../../routing/route.ts";
import type { RedisConnection } from "../../runtime/redis.ts";
import type { RecipientState } from "../../spool/recipient-state.ts";
import type { Settlement, Spool, StoredMessage } from "../../spool/spool.ts";
import { removeJobs } from "../bullmq/jobs.ts";
import { jobKey } from "../bullmq/keys.ts";
import { type BounceJob, deliveryJobId } from "../contract/contract.ts";
import { deadFromMessage } from "../contract/dead-job.ts";
import { bounceId, makeDeliveryJob } from "../contract/delivery-job.ts";
import type { Holds } from "../holds/store.ts";
import type { GroupToEnqueue, QueueProducer } from "../producer.ts";

export interface ScanContext {
  spool: Spool;
  redis: RedisConnection;
  producer: QueueProducer;
  config: Pick<Config, "queue" | "dsn">;
  /** Absent: nothing is held. */
  holds: Holds | undefined;
  summarizeRoute(message: StoredMessage, part: number): RouteSummary;
  /** Whether to go on: the lease may be lost meanwhile. */
  mayGoOn(): boolean;
}

export interface ScanReport {
  /** Messages that are not settled. */
  messages: number;
  /** Jobs that were missing, by queue. */
  deliveries: number;
  bounces: number;
  dead: number;
  /** Recipients whose time in `dead` was over. */
  expired: number;
}

type States = ReadonlyMap<number, RecipientState>;
type SharedKind = "failed" | "delayed";
type DeadState = Extract<RecipientState, { kind: "dead" }>;
type Unsettled = StoredMessage & { states: States };

/** What a message needs to have in the queues, by its states. */
interface Need {
  message: StoredMessage;
  /** Numbers of the parts with a pending recipient. */
  parts: number[];
  /** Kinds of news that its sender is owed. */
  bounces: SharedKind[];
  dead: { part: number; state: DeadState }[];
  expired: { part: number; recipients: number[] }[];
}

const messagesAtOnce = 1000;
const bouncesAtOnce = 100;

/** @throws Error of Redis or of the spool; what was added until then stays added */
export async function scanSpool(context: ScanContext): Promise<ScanReport> {
  const report: ScanReport = { messages: 0, deliveries: 0, bounces: 0, dead: 0, expired: 0 };
  let batch: Unsettled[] = [];
  for await (const unsettled of context.spool.unsettled()) {
    report.messages++;
    batch.push(unsettled);
    if (batch.length < messagesAtOnce) continue;
    if (!context.mayGoOn()) return report;
    await compare(context, batch, report);
    batch = [];
  }
  if (batch.length > 0 && context.mayGoOn()) await compare(context, batch, report);
  return report;
}

async function compare(context: ScanContext, batch: Unsettled[], report: ScanReport): Promise<void> {
  const nowMs = Date.now();
  const retentionMs = context.config.queue.dead_retention;
  const needs = batch.map((message) => needOf(message, message.states, nowMs, retentionMs));
  const missing = await withoutJobs(context.redis, needs);
  const fresh = await Promise.all(
    missing.map(async (need): Promise<Need> => {
      const states = await context.spool.states(need.message.meta.id, true);
      return both(need, needOf(need.message, states, nowMs, retentionMs));
    }),
  );
  await addMissing(context, fresh, report);
  for (const need of needs) report.expired += await expire(context, need);
}

function needOf(message: StoredMessage, states: States, nowMs: number, retentionMs: number): Need {
  const need: Need = { message, parts: [], bounces: [], dead: [], expired: [] };
  const owed = new Set<SharedKind>();
  message.meta.parts.forEach((recipients, part) => {
    let pending = false;
    let lastDead: DeadState | undefined;
    const past: number[] = [];
    for (const recipient of recipients) {
      const state = states.get(recipient) ?? { kind: "pending" };
      if (state.kind === "pending") {
        pending = true;
        if (state.delay !== undefined) owed.add("delayed");
      } else if (state.kind === "failed") owed.add("failed");
      else if (state.kind === "dead") {
        if (nowMs - state.atMs > retentionMs) past.push(recipient);
        else lastDead = state;
      }
    }
    if (pending) need.parts.push(part);
    if (lastDead !== undefined) need.dead.push({ part, state: lastDead });
    else if (past.length > 0) need.expired.push({ part, recipients: past });
  });
  need.bounces.push(...owed);
  return need;
}

/** What of each message's needs has no job; messages that lack nothing are left out. */
async function withoutJobs(redis: RedisConnection, needs: Need[]): Promise<Need[]> {
  const pipeline = redis.pipeline();
  for (const { message, parts, bounces, dead } of needs) {
    const { id } = message.meta;
    for (const part of parts) {
      const jobId = deliveryJobId(id, part);
      pipeline.exists(jobKey("delivery", jobId), jobKey("delivery-slow", jobId));
    }
    for (const kind of bounces) pipeline.exists(jobKey("bounce", bounceId(bounceJob(message, kind))));
    for (const { part } of dead) pipeline.exists(jobKey("dead", deliveryJobId(id, part)));
  }
  const results = (await pipeline.exec()) ?? [];
  let at = 0;
  const isMissing = (): boolean => {
    const [error, count] = results[at++] ?? [];
    if (error) throw error;
    return count === 0;
  };
  return needs
    .map((need) => ({
      ...need,
      parts: need.parts.filter(isMissing),
      bounces: need.bounces.filter(isMissing),
      dead: need.dead.filter(isMissing),
    }))
    .filter(({ parts, bounces, dead }) => parts.length + bounces.length + dead.length > 0);
}

function bounceJob({ meta, locator }: StoredMessage, kind: SharedKind): BounceJob {
  return { version: 1, kind, id: meta.id, locator };
}

/** What was missing and is needed still. */
function both(missing: Need, now: Need): Need {
  return {
    ...missing,
    parts: missing.parts.filter((part) => now.parts.includes(part)),
    bounces: missing.bounces.filter((kind) => now.bounces.includes(kind)),
    dead: now.dead.filter(({ part }) => missing.dead.some((dead) => dead.part === part)),
  };
}

async function addMissing(context: ScanContext, needs: Need[], report: ScanReport): Promise<void> {
  const { producer, config, summarizeRoute, holds } = context;
  const nowMs = Date.now();
  const parts: GroupToEnqueue[] = needs.flatMap(({ message, parts }) =>
    parts.map((part) => {
      const route = summarizeRoute(message, part);
      return {
        message,
        group: part,
        route,
        redelivery: true,
        heldMs: heldSoFarMs(message, part, route, holds, nowMs),
      };
    }),
  );
  if (parts.length > 0) report.deliveries += await producer.addGroups(parts);

  const bounces = needs.flatMap(({ message, bounces }) => bounces.map((kind) => bounceJob(message, kind)));
  for (let start = 0; start < bounces.length; start += bouncesAtOnce) {
    const some = bounces.slice(start, start + bouncesAtOnce);
    await Promise.all(some.map((job) => producer.addBounce(job, config.dsn.wave)));
    report.bounces += some.length;
  }

  for (const { message, dead } of needs) {
    for (const { part, state } of dead) {
      await producer.addDead(deadFromMessage(message, part, summarizeRoute(message, part), state));
      report.dead++;
    }
  }
}

/** What its job knew of a hold went with the job: as long as the rule that holds it now has stood. */
function heldSoFarMs(
  message: StoredMessage,
  part: number,
  route: RouteSummary,
  holds: Holds | undefined,
  nowMs: number,
): number {
  if (holds === undefined || holds.list().length === 0) return 0;
  const rule = holds.match(makeDeliveryJob(message, part, route, true));
  return rule === undefined ? 0 : Math.max(0, nowMs - Math.max(rule.createdAtMs, message.meta.receivedAtMs));
}

async function expire({ spool, redis }: ScanContext, { message, expired }: Need): Promise<number> {
  if (expired.length === 0) return 0;
  const { id } = message.meta;
  const recipients = expired.flatMap((part) => part.recipients);
  const settlement: Settlement = { id, recipients, state: { kind: "removed" } };
  await spool.settle([settlement]);
  const jobIds = expired.map(({ part }) => deliveryJobId(id, part));
  await removeJobs(redis, "dead", jobIds);
  return recipients.length;
}
