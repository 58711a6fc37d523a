/** Which jobs an unsettled message needs, by the states of its recipients, and which of them are missing. Pure. */
import { isReportPending, type RecipientState } from "../../spool/recipient-state.ts";
import type { StoredMessage } from "../../spool/spool.ts";
import { type Load, loadOf } from "../contract/batches.ts";
import { deliveryJobId, type QueueName } from "../contract/contract.ts";
import type { CauseOfDeath } from "../contract/dead-job.ts";
import { bounceId, type SharedReport, sharedBounce } from "../contract/delivery-job.ts";
import type { HoldRule } from "../holds/rules.ts";

/** As much of a message as its jobs depend on. */
export type NeedyMessage = Pick<StoredMessage, "locator"> & {
  meta: Pick<StoredMessage["meta"], "id" | "parts">;
};

/** What a message needs to have in the queues. Recipient groups by number. */
export interface Needs<M extends NeedyMessage = StoredMessage> {
  message: M;
  /** Of its recipients. */
  states: States;
  /** Groups with a pending recipient: a delivery job for each. */
  groups: number[];
  /** Reports that are pending: a bounce job for each. */
  bounces: SharedReport[];
  /** Groups with a dead recipient, and why it is dead: a dead job for each. */
  dead: { group: number; cause: CauseOfDeath }[];
  /** Groups whose dead recipients were kept for long enough: no job any more. */
  expired: { group: number; recipients: number[] }[];
}

type States = ReadonlyMap<number, RecipientState>;

/**
 * @param states       by recipient index; an absent recipient is pending
 * @param nowMs        epoch milliseconds
 * @param retentionMs  how long dead recipients are kept
 */
export function needsOf<M extends NeedyMessage>(
  message: M,
  states: States,
  nowMs: number,
  retentionMs: number,
): Needs<M> {
  const needs: Needs<M> = { message, states, groups: [], bounces: [], dead: [], expired: [] };
  const reports = new Set<SharedReport>();
  // Recipients that inline delivery reached are in no group.
  for (const state of states.values()) if (isReportPending(state)) reports.add("succeeded");
  message.meta.parts.forEach((recipients, group) => {
    let isPending = false;
    let cause: CauseOfDeath | undefined;
    const expired: number[] = [];
    for (const recipient of recipients) {
      const state = states.get(recipient) ?? { kind: "pending" };
      if (state.kind === "pending") {
        isPending = true;
        if (state.delay !== undefined) reports.add("delayed");
      } else if (state.kind === "failed") reports.add("failed");
      else if (state.kind === "dead") {
        if (nowMs - state.atMs > retentionMs) expired.push(recipient);
        else cause = state;
      }
    }
    if (isPending) needs.groups.push(group);
    // One recipient that is kept keeps the job, and so the whole group.
    if (cause !== undefined) needs.dead.push({ group, cause });
    else if (expired.length > 0) needs.expired.push({ group, recipients: expired });
  });
  needs.bounces.push(...reports);
  return needs;
}

/** A batch is bounded by jobs and by memory: the message with all its recipients is kept until the queues were asked. */
export function loadOfNeeds(needs: Needs): Load {
  return { octets: loadOf(needs.message).octets, jobs: jobCountOf(needs) };
}

export function jobCountOf({ groups, bounces, dead }: Needs<NeedyMessage>): number {
  return groups.length + bounces.length + dead.length;
}

/** The jobs to look for, in the order in which jobsMissing() expects the answers. */
export function jobsOf({
  message,
  groups,
  bounces,
  dead,
}: Needs<NeedyMessage>): { queue: QueueName; jobId: string }[] {
  const { id } = message.meta;
  return [
    ...groups.map((group) => ({ queue: "delivery" as const, jobId: deliveryJobId(id, group) })),
    ...bounces.map((kind) => ({
      queue: "bounce" as const,
      jobId: bounceId(sharedBounce(kind, id, message.locator)),
    })),
    ...dead.map(({ group }) => ({ queue: "dead" as const, jobId: deliveryJobId(id, group) })),
  ];
}

/**
 * The needs without a job; messages that lack nothing are left out.
 * @param exist  for each of jobsOf() of all of the needs, one after the other, whether it exists
 */
export function jobsMissing<M extends NeedyMessage>(
  needs: readonly Needs<M>[],
  exist: readonly boolean[],
): Needs<M>[] {
  let at = 0;
  const isMissing = (): boolean => exist[at++] === false;
  return needs
    .map((each) => ({
      ...each,
      groups: each.groups.filter(isMissing),
      bounces: each.bounces.filter(isMissing),
      dead: each.dead.filter(isMissing),
    }))
    .filter((each) => jobCountOf(each) > 0);
}

/** The jobs that were missing and are needed still. */
export function stillMissing(missing: Needs, now: Needs): Needs {
  return {
    ...missing,
    states: now.states,
    groups: missing.groups.filter((group) => now.groups.includes(group)),
    bounces: missing.bounces.filter((kind) => now.bounces.includes(kind)),
    dead: now.dead.filter(({ group }) => missing.dead.some((dead) => dead.group === group)),
  };
}

/**
 * How long a message was held, where the job that knew it is lost: as long as the rule that holds it now has stood.
 * @param rule  `undefined`: none holds it
 */
export function heldSoFarMs(rule: HoldRule | undefined, receivedAtMs: number, nowMs: number): number {
  return rule === undefined ? 0 : Math.max(0, nowMs - Math.max(rule.createdAtMs, receivedAtMs));
}
