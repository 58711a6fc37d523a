/** Adds the jobs that a scan misses, as far as Redis has room for them. It owns nothing. */
import type { Config } from "../../config/schema.ts";
import type { RouteSummary } from "../../routing/route.ts";
import type { Shards } from "../../shards/shard.ts";
import type { RecipientState } from "../../spool/recipient-state.ts";
import type { StoredMessage } from "../../spool/spool.ts";
import { countWaiting } from "../bullmq/job-places.ts";
import { deadFromMessage } from "../contract/dead-job.ts";
import { makeDeliveryJob, reportDelayMs, sharedBounce } from "../contract/delivery-job.ts";
import type { Holds } from "../holds/store.ts";
import type { GroupToEnqueue, QueueProducer } from "../producer.ts";
import { heldSoFarMs, type Needs } from "./needs.ts";
import { readMemories, roomForRestored } from "./room.ts";
import { type MissingGroup, type Shares, shareOut } from "./share-out.ts";

export interface AddDeps {
  shards: Shards;
  producer: Pick<QueueProducer, "addGroups" | "addBounce" | "addDead">;
  config: Pick<Config, "queue" | "dsn" | "limits">;
  /** Absent: nothing is held. */
  holds: Pick<Holds, "list" | "match"> | undefined;
  /** @param states  of the message's recipients: operators may have chosen other next hops */
  summarizeRoute(
    message: StoredMessage,
    group: number,
    states: ReadonlyMap<number, RecipientState>,
  ): RouteSummary;
}

/** Jobs that were missing, by queue. */
export interface AddReport {
  deliveries: number;
  bounces: number;
  dead: number;
}

const bouncesAtOnce = 100;

/**
 * @param when    `startedMs`: when the scan began. `few`: see roomForRestored(); absent: there is no room for restored mail
 * @param report  counts what was added
 * @returns the messages that wait for room, and how many jobs were restored that needed some
 * @throws Error of Redis; what was added until then stays added
 */
export async function addMissing(
  deps: AddDeps,
  missing: readonly Needs[],
  { startedMs, few }: { startedMs: number; few: number | undefined },
  report: AddReport,
): Promise<Pick<Shares, "later" | "restored">> {
  if (missing.length === 0) return { later: [], restored: 0 };
  const room = few === undefined ? 0 : await leastRoom(deps, few);
  const waiting = await countWaiting(deps.shards, ["delivery"]);
  const shares = shareOut(missing, { startedMs, nowMs: Date.now(), waiting, room });
  try {
    await addJobs(deps, shares, report);
  } catch (error) {
    // Full all the same: others have filled it meanwhile.
    if (room === Number.POSITIVE_INFINITY || !isFull(error)) throw error;
    return { later: [...missing], restored: 0 };
  }
  return shares;
}

/** Of all servers, since a scan has one place where it stops. */
async function leastRoom({ shards, config }: AddDeps, few: number): Promise<number> {
  const rooms = (await readMemories(shards)).map((memory) =>
    roomForRestored(memory, config.limits.pressure.redis_memory, few),
  );
  return Math.min(Number.POSITIVE_INFINITY, ...rooms);
}

function isFull(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("OOM");
}

async function addJobs(deps: AddDeps, shares: Shares, report: AddReport): Promise<void> {
  const { producer, config, summarizeRoute } = deps;
  const nowMs = Date.now();
  const entry = ({ needs, group }: MissingGroup): GroupToEnqueue => toEnqueue(deps, needs, group, nowMs);
  if (shares.ahead.length > 0) report.deliveries += await producer.addGroups(shares.ahead.map(entry));
  if (shares.behind.length > 0)
    report.deliveries += await producer.addGroups(shares.behind.map(entry), "delivery-slow");

  const bounces = shares.now.flatMap(({ message: { meta, locator }, bounces }) =>
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

  for (const { message, states, dead } of shares.now) {
    for (const { group, cause } of dead) {
      await producer.addDead(deadFromMessage(message, group, summarizeRoute(message, group, states), cause));
      report.dead++;
    }
  }
}

function toEnqueue(
  { holds, summarizeRoute }: AddDeps,
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
