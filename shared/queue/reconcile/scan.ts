/**
 * One pass over the spool: adds the jobs that the queues lack by what the spool says, as far as Redis has room for them. It
 * owns nothing.
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
import type { ShardClaims } from "../../shards/registry.ts";
import { byShard, prefixOfId } from "../../shards/shard.ts";
import type { Spool, SummarizedMessage, UnreadableMessage, WalkPlace } from "../../spool/spool.ts";
import { jobsExist } from "../bullmq/job-places.ts";
import { removeJobs } from "../bullmq/jobs.ts";
import { markScan } from "../bullmq/scan-mark.ts";
import { Batch } from "../contract/batches.ts";
import { deliveryJobId } from "../contract/contract.ts";
import { type AddDeps, type AddReport, addMissing } from "./add-missing.ts";
import { jobCountOf, jobsMissing, jobsOf, loadOfNeeds, type Needs, needsOf, stillMissing } from "./needs.ts";
import { fewJobs } from "./room.ts";
import { expireDeadJobs, keepUnreadable } from "./unreadable.ts";

export interface ScanDeps extends AddDeps {
  spool: Pick<Spool, "unsettled" | "states" | "settle">;
  /** The shards of all unsettled messages are claimed, so that no process forgets them. */
  claims: Pick<ShardClaims, "claim">;
  /** Whether to go on: the lease may be lost meanwhile. */
  mayGoOn(): boolean;
}

export interface ScanReport extends AddReport {
  /** Messages that are not settled. */
  messages: number;
  /** Recipients whose time in `dead` was over. */
  expired: number;
}

/** The next scan finds more. */
const unreadableAtOnce = 1000;

/** Where a pass begins and ends. */
export interface Pass {
  /** Begins behind this message; `undefined`: at the start of the spool. */
  after: WalkPlace | undefined;
  /**
   * Where Redis has no room for more it goes on to the end of the spool, adds fresh mail and counts what waits. Otherwise
   * it ends there.
   */
  isWhole: boolean;
  /** So many jobs are added as long as fresh mail is accepted, see roomForRestored(). */
  few: number;
}

export const wholePass: Pass = { after: undefined, isWhole: true, few: fewJobs };

export interface PassResult {
  report: ScanReport;
  /** Messages that got their jobs. */
  restored: number;
  /** Messages that wait in the spool, for lack of room in Redis. Of a pass that is not whole, at least. */
  left: number;
  /** The next pass begins behind it; `undefined`: at the start of the spool. */
  handled: WalkPlace | undefined;
  /** mayGoOn() has said no. */
  isInterrupted: boolean;
}

interface Progress extends PassResult {
  startedMs: number;
  few: number;
}

/** @throws Error of Redis or of the spool; what was added until then stays added */
export async function scanSpool(deps: ScanDeps, pass: Pass = wholePass): Promise<PassResult> {
  const { after, isWhole, few } = pass;
  const report: ScanReport = { messages: 0, deliveries: 0, bounces: 0, dead: 0, expired: 0 };
  const progress: Progress = {
    report,
    restored: 0,
    left: 0,
    handled: after,
    isInterrupted: false,
    startedMs: Date.now(),
    few,
  };
  const batch = new Batch<Needs>();
  const mayGoOn = (): boolean => {
    progress.isInterrupted ||= !deps.mayGoOn();
    return !progress.isInterrupted && (isWhole || progress.left === 0);
  };
  const unreadable: UnreadableMessage[] = [];
  const onUnreadable = (message: UnreadableMessage): void => {
    if (unreadable.length < unreadableAtOnce) unreadable.push(message);
  };
  for await (const unsettled of deps.spool.unsettled({
    onUnreadable,
    isWanted: (messages) => lack(deps, messages, report),
    after,
  })) {
    report.messages++;
    const needs = needsOf(unsettled, unsettled.states, Date.now(), deps.config.queue.dead_retention);
    const load = loadOfNeeds(needs);
    if (batch.add(needs, load)) continue;
    if (!mayGoOn()) return progress;
    await compare(deps, batch.take(), progress);
    if (!mayGoOn()) return progress;
    batch.add(needs, load);
  }
  if (!batch.isEmpty && mayGoOn()) await compare(deps, batch.take(), progress);
  for (const message of unreadable) {
    if (!mayGoOn()) return progress;
    report.dead += await keepUnreadable(deps, message, Date.now());
  }
  if (mayGoOn()) report.expired += await expireDeadJobs(deps, Date.now());
  return progress;
}

/** Adds what these messages lack, as far as there is room. */
async function compare(deps: ScanDeps, needs: readonly Needs[], progress: Progress): Promise<void> {
  const own = byShard(deps.shards, needs, ({ message }) => message.meta.id);
  await Promise.all([...own.keys()].map(markScan));
  const missing = await findMissing(deps, needs, Date.now());
  const { left, few, startedMs, report } = progress;
  // What comes behind a message for which there was no room waits its turn.
  const added = await addMissing(deps, missing, { startedMs, few: left > 0 ? undefined : few }, report);
  if (left === 0) progress.handled = placeBefore(added.later[0], needs) ?? progress.handled;
  progress.few = Math.max(0, few - added.restored);
  progress.restored += missing.length - added.later.length;
  progress.left += added.later.length;
  for (const each of needs) progress.report.expired += await expire(deps, each);
}

/** The place of the last message before this one; of the last of all when absent. */
function placeBefore(first: Needs | undefined, needs: readonly Needs[]): WalkPlace | undefined {
  const index = needs.findIndex(({ message }) => message.meta.id === first?.message.meta.id);
  const last = needs.at(first === undefined ? -1 : index - 1)?.message;
  return index === 0 || last === undefined ? undefined : { id: last.meta.id, locator: last.locator };
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
  const still = await Promise.all(
    missing.map(async (each) => {
      const states = await spool.states(each.message.meta.id, true);
      return stillMissing(each, needsOf(each.message, states, nowMs, config.queue.dead_retention));
    }),
  );
  return still.filter((each) => jobCountOf(each) > 0);
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
