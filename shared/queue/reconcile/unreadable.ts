/**
 * Messages whose envelope is damaged: nobody can be notified, so that they are dead, and stay in `dead` until an operator
 * removes them or their time is over, as all dead mail. It owns nothing.
 */
import type { Config } from "../../config/schema.ts";
import type { Shards } from "../../shards/shard.ts";
import { isSettled, type RecipientState } from "../../spool/recipient-state.ts";
import type { Settlement, Spool, UnreadableMessage } from "../../spool/spool.ts";
import { forEachJob, jobsExist, readPayloads } from "../bullmq/job-places.ts";
import { removeJobs } from "../bullmq/jobs.ts";
import { deliveryJobId } from "../contract/contract.ts";
import { deadUnreadableBounce, parseDeadJob } from "../contract/dead-job.ts";
import type { QueueProducer } from "../producer.ts";

export interface UnreadableDeps {
  spool: Pick<Spool, "states" | "settle">;
  shards: Shards;
  producer: Pick<QueueProducer, "addDead">;
  config: Pick<Config, "queue">;
}

const reason = "the spool's record of the message is damaged: its envelope cannot be read";

/** What an unreadable message needs. */
export interface UnreadableNeeds {
  /** Recorded in the spool. */
  settlements: Settlement[];
  /** Whether it has a job in `dead`; otherwise it has none. */
  isDead: boolean;
}

/**
 * Pure.
 * @param nowMs        epoch milliseconds
 * @param retentionMs  how long dead recipients are kept
 */
export function needsOfUnreadable(
  { id, recipients, states }: UnreadableMessage,
  nowMs: number,
  retentionMs: number,
): UnreadableNeeds {
  const lost: number[] = [];
  const expired: number[] = [];
  let isDead = false;
  for (let recipient = 0; recipient < recipients; recipient++) {
    const state = states.get(recipient);
    if (state !== undefined && isSettled(state)) continue;
    if (state?.kind === "dead") {
      if (nowMs - state.atMs > retentionMs) expired.push(recipient);
      else isDead = true;
    } else lost.push(recipient);
  }
  const dead: RecipientState = {
    kind: "dead",
    diagnosis: { status: "5.3.0", class: "local", reason, atMs: nowMs },
    atMs: nowMs,
  };
  const settlements: Settlement[] = [];
  if (lost.length > 0) settlements.push({ id, recipients: lost, state: dead });
  if (expired.length > 0) settlements.push({ id, recipients: expired, state: { kind: "removed" } });
  return { settlements, isDead: isDead || lost.length > 0 };
}

/** @returns how many jobs were added to `dead` */
export async function keepUnreadable(
  deps: UnreadableDeps,
  message: UnreadableMessage,
  nowMs: number,
): Promise<number> {
  const { spool, shards, producer, config } = deps;
  const { settlements, isDead } = needsOfUnreadable(message, nowMs, config.queue.dead_retention);
  if (settlements.length > 0) await spool.settle(settlements);
  // A worker that had a job of any of its recipient groups has made that one dead.
  const jobIds = Array.from({ length: message.recipients }, (_, group) => deliveryJobId(message.id, group));
  if (!isDead) {
    await removeJobs(shards.of(message.id), "dead", jobIds);
    return 0;
  }
  const exist = await jobsExist(
    shards,
    jobIds.map((jobId) => ({ queue: "dead", jobId })),
  );
  if (exist.includes(true)) return 0;
  await producer.addDead(deadUnreadableBounce(message, reason, nowMs));
  return 1;
}

/**
 * Removes jobs from `dead` whose time is over and of which no record in the spool says that they are dead: records that
 * cannot be read, or are gone.
 * @returns how many
 */
export async function expireDeadJobs(
  { spool, shards, config }: UnreadableDeps,
  nowMs: number,
): Promise<number> {
  let removed = 0;
  for (const shard of shards.all) {
    await forEachJob(shard, "dead", "dead", async (places) => {
      const expired: string[] = [];
      for (const { place, payload } of await readPayloads(shards, places)) {
        const dead = parseDeadJob(payload);
        if (dead === undefined || nowMs - dead.deadAtMs <= config.queue.dead_retention) continue;
        const states = await spool.states(dead.job.id);
        if (![...states.values()].some(({ kind }) => kind === "dead")) expired.push(place.jobId);
      }
      const gone = await removeJobs(shard, "dead", expired);
      removed += gone;
      return gone;
    });
  }
  return removed;
}
