/**
 * One scan: adds the jobs that the queues lack by what the spool says. It owns nothing.
 *
 * A worker settles in the spool first and ends its job afterwards. A scan reads in the opposite order: first whether the
 * job exists, then, if it does not, the states again and `fresh`.
 * - The job ended before the scan looked for it: its settlement came before that, so the fresh states show it. Nothing
 *   is added.
 * - Redis lost the job: the states still say pending. It is added.
 * - The message was accepted a moment ago and its publisher is about to add the job: the scan adds it, and the
 *   publisher's add finds it. Should a worker end the job between the two, the publisher's add makes a second job. The
 *   scan has left a mark before, by which that job counts as started before: its worker reads the states `fresh`, and
 *   finds nothing pending.
 * Looking for the job after the states, instead, would add again what was settled and ended in between.
 * A job is in `delivery` or in `delivery-slow`; one command looks at both at once, so that a job on its way from one to
 * the other is seen, and the script that adds looks at both again.
 */
import type { Config } from "../../config/schema.ts";
import type { RouteSummary } from "../../routing/route.ts";
import type { ShardClaims } from "../../shards/registry.ts";
import { byShard, prefixOfId, type Shards } from "../../shards/shard.ts";
import type { RecipientState } from "../../spool/recipient-state.ts";
import type { Spool, StoredMessage, SummarizedMessage, UnreadableMessage } from "../../spool/spool.ts";
import { countWaiting, jobsExist } from "../bullmq/job-places.ts";
import { removeJobs } from "../bullmq/jobs.ts";
import { markScan } from "../bullmq/scan-mark.ts";
import { Batch } from "../contract/batches.ts";
import { deliveryJobId } from "../contract/contract.ts";
import { deadFromMessage } from "../contract/dead-job.ts";
import { makeDeliveryJob, reportDelayMs, sharedBounce } from "../contract/delivery-job.ts";
import type { Holds } from "../holds/store.ts";
import type { GroupToEnqueue, QueueProducer } from "../producer.ts";
import {
  heldSoFarMs,
  jobsMissing,
  jobsOf,
  loadOfNeeds,
  type Needs,
  needsOf,
  splitByAge,
  stillMissing,
} from "./needs.ts";
import { expireDeadJobs, keepUnreadable } from "./unreadable.ts";

export interface ScanDeps {
  spool: Pick<Spool, "unsettled" | "states" | "settle">;
  shards: Shards;
  /** The shards of all unsettled messages are claimed, so that no process forgets them. */
  claims: Pick<ShardClaims, "claim">;
  producer: Pick<QueueProducer, "addGroups" | "addBounce" | "addDead">;
  config: Pick<Config, "queue" | "dsn">;
  /** Absent: nothing is held. */
  holds: Pick<Holds, "list" | "match"> | undefined;
  /** @param states  of the message's recipients: operators may have chosen other next hops */
  summarizeRoute(
    message: StoredMessage,
    group: number,
    states: ReadonlyMap<number, RecipientState>,
  ): RouteSummary;
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

const bouncesAtOnce = 100;
/** The next scan finds more. */
const unreadableAtOnce = 1000;

/** @throws Error of Redis or of the spool; what was added until then stays added */
export async function scanSpool(deps: ScanDeps): Promise<ScanReport> {
  const report: ScanReport = { messages: 0, deliveries: 0, bounces: 0, dead: 0, expired: 0 };
  const startedMs = Date.now();
  const batch = new Batch<Needs>();
  const compareBatch = async (): Promise<void> => {
    const needs = batch.take();
    const own = byShard(deps.shards, needs, ({ message }) => message.meta.id);
    await Promise.all([...own.keys()].map(markScan));
    await addMissing(deps, await findMissing(deps, needs, Date.now()), report, startedMs);
    for (const each of needs) report.expired += await expire(deps, each);
  };
  const unreadable: UnreadableMessage[] = [];
  const onUnreadable = (message: UnreadableMessage): void => {
    if (unreadable.length < unreadableAtOnce) unreadable.push(message);
  };
  for await (const unsettled of deps.spool.unsettled({
    onUnreadable,
    isWanted: (messages) => lack(deps, messages, report),
  })) {
    report.messages++;
    const needs = needsOf(unsettled, unsettled.states, Date.now(), deps.config.queue.dead_retention);
    const load = loadOfNeeds(needs);
    if (batch.add(needs, load)) continue;
    if (!deps.mayGoOn()) return report;
    await compareBatch();
    batch.add(needs, load);
  }
  if (!batch.isEmpty && deps.mayGoOn()) await compareBatch();
  for (const message of unreadable) {
    if (!deps.mayGoOn()) return report;
    report.dead += await keepUnreadable(deps, message, Date.now());
  }
  if (deps.mayGoOn()) report.expired += await expireDeadJobs(deps, Date.now());
  return report;
}

/** For each of these messages whether it lacks a job, or has dead recipients whose time is over. Counts the others. */
async function lack(
  { shards, claims, config }: ScanDeps,
  messages: readonly SummarizedMessage[],
  report: ScanReport,
): Promise<boolean[]> {
  const nowMs = Date.now();
  const needs = messages.map((each) => needsOf(each, each.states, nowMs, config.queue.dead_retention));
  await claims.claim(new Set(messages.map(({ meta }) => prefixOfId(meta.id))));
  const missing = jobsMissing(needs, await jobsExist(shards, needs.flatMap(jobsOf)));
  const lacking = new Set(missing.map(({ message }) => message.meta.id));
  const wanted = needs.map(({ message, expired }) => lacking.has(message.meta.id) || expired.length > 0);
  report.messages += wanted.filter((isWanted) => !isWanted).length;
  return wanted;
}

/** The needs without a job, by states that are read after the look for the job. */
async function findMissing(
  { shards, spool, config }: ScanDeps,
  needs: readonly Needs[],
  nowMs: number,
): Promise<Needs[]> {
  const missing = jobsMissing(needs, await jobsExist(shards, needs.flatMap(jobsOf)));
  return Promise.all(
    missing.map(async (each) => {
      const states = await spool.states(each.message.meta.id, true);
      return stillMissing(each, needsOf(each.message, states, nowMs, config.queue.dead_retention));
    }),
  );
}

/** @param startedMs  when the scan began */
async function addMissing(
  deps: ScanDeps,
  missing: readonly Needs[],
  report: ScanReport,
  startedMs: number,
): Promise<void> {
  const { producer, config, summarizeRoute } = deps;
  const nowMs = Date.now();
  const groups = missing.flatMap((each) => each.groups.map((group) => toEnqueue(deps, each, group, nowMs)));
  if (groups.length > 0) {
    const waiting = await countWaiting(deps.shards, "delivery");
    const { fresh, restored } = splitByAge(groups, waiting, startedMs);
    report.deliveries += await producer.addGroups(fresh);
    report.deliveries += await producer.addGroups(restored, "delivery-slow");
  }

  const bounces = missing.flatMap(({ message: { meta, locator }, bounces }) =>
    bounces.map((kind) => ({
      job: sharedBounce(kind, meta.id, locator),
      delayMs: reportDelayMs(kind, config.dsn.wave),
    })),
  );
  for (let start = 0; start < bounces.length; start += bouncesAtOnce) {
    const some = bounces.slice(start, start + bouncesAtOnce);
    await Promise.all(some.map(({ job, delayMs }) => producer.addBounce(job, delayMs)));
    report.bounces += some.length;
  }

  for (const { message, states, dead } of missing) {
    for (const { group, cause } of dead) {
      await producer.addDead(deadFromMessage(message, group, summarizeRoute(message, group, states), cause));
      report.dead++;
    }
  }
}

function toEnqueue(
  { holds, summarizeRoute }: ScanDeps,
  { message, states }: Needs,
  group: number,
  nowMs: number,
): GroupToEnqueue {
  const route = summarizeRoute(message, group, states);
  const entry = { message, group, route, redelivery: true };
  if (holds === undefined || holds.list().length === 0) return entry;
  const rule = holds.match(makeDeliveryJob(message, group, route, true));
  return { ...entry, heldMs: heldSoFarMs(rule, message.meta.receivedAtMs, nowMs) };
}

/** Settles dead recipients whose time is over, and removes their jobs. @returns how many recipients */
async function expire({ spool, shards }: ScanDeps, { message, expired }: Needs): Promise<number> {
  if (expired.length === 0) return 0;
  const { id } = message.meta;
  const recipients = expired.flatMap((each) => each.recipients);
  await spool.settle([{ id, recipients, state: { kind: "removed" } }]);
  await removeJobs(
    shards.of(id),
    "dead",
    expired.map(({ group }) => deliveryJobId(id, group)),
  );
  return recipients.length;
}
