/** One attempt at one next hop: made, decided, recorded, in this order. */

import type { PriorityClass } from "../../shared/limits/queue-shares.ts";
import type { DeliveryQueueName } from "../../shared/queue/contract/contract.ts";
import { expiresAtMs } from "../../shared/queue/contract/retry-schedule.ts";
import type { Diagnosis, Outcome } from "../../shared/smtp/diagnosis.ts";
import type { AttemptFacts, AttemptResult } from "../../shared/smtp-client/smtp-client.ts";
import { type Settlement, SpoolCorrupt } from "../../shared/spool/spool.ts";
import { decideNext, type NextStep, type Untried } from "./decide-next.ts";
import { logAttempt, logOutcomes } from "./delivery-log.ts";
import { afterSettling } from "./pending-notifications.ts";
import { type DeliveryGroup, lastDiagnoses } from "./plan.ts";
import { settlementsOf } from "./settlements.ts";
import type { Work, WorkerDependencies } from "./work.ts";

export interface GroupEnd {
  /** Absent when nothing was tried. */
  step?: NextStep;
  untried: ReadonlyMap<number, Untried>;
}

const noFacts: AttemptFacts = { destination: "", tries: [], durationMs: 0 };
const nobody: ReadonlyMap<number, never> = new Map<number, never>();

/** @throws SpoolUnavailable, or what the queues throw */
export async function deliverGroup(
  deps: WorkerDependencies,
  work: Work,
  group: DeliveryGroup,
): Promise<GroupEnd> {
  const { config, log, metrics, spool } = deps;
  const { task, meta, sinceMs } = work;
  const { history } = task.job;
  const nullSender = meta.envelope.reversePath === "";
  const endMs = expiresAtMs({ sinceMs, nullSender }, config.queue);
  const context = { jobId: task.jobId, meta, group, attempt: (history?.attempts ?? 0) + 1 };
  let result: AttemptResult;
  try {
    result = await deps.transport.attempt({
      nextHop: group.nextHop,
      message: meta,
      recipients: group.recipients,
      body: work.body,
      signal: task.signal,
      ...(deps.shares === undefined ? {} : { priorityClass: priorityClassOf(task.queue, deps.shares) }),
      isLast: deps.now() >= endMs,
      begun: () => logAttempt(log, context),
    });
  } catch (error) {
    if (error instanceof SpoolCorrupt) return moveDamagedToDead(deps, work, group, error);
    // A defect of ours must neither lose the mail nor spin: it is a failed attempt, with its schedule and its expiry.
    log.error({ err: error, id: meta.id, job: task.jobId }, "an attempt failed by our own fault");
    result = { kind: "tried", outcomes: new Map(), facts: noFacts };
  }
  const { tried, untried } = sift(deps, work, group, result, endMs);
  if (tried.size === 0) return { untried };

  const nowMs = deps.now();
  const step = decideNext(
    {
      sinceMs,
      nullSender,
      history,
      outcomes: tried,
      withoutBackup: group.withoutBackup,
    },
    config.queue,
    nowMs,
    deps.jitter(),
    config.relay.backup,
  );
  const settlements = settlementsOf(meta.id, meta.envelope, step, nowMs);
  if (settlements.length > 0) await spool.settle(settlements);

  const facts = result.kind === "tried" ? result.facts : noFacts;
  const final = withExpiries(tried, step);
  logOutcomes(log, context, final, facts, nowMs, step.retry?.atMs);
  if (facts.remembered === true) metrics.remembered();
  else metrics.attempt(facts.durationMs);
  for (const outcome of tried.values()) metrics.outcome(outcome, nowMs - meta.receivedAtMs);
  await afterSettling(deps, work, tried, settlements);
  return { step, untried };
}

/** Tells who was really tried. */
function sift(
  { metrics, now }: WorkerDependencies,
  { task, sinceMs }: Work,
  group: DeliveryGroup,
  result: AttemptResult,
  endMs: number,
): { tried: ReadonlyMap<number, Outcome>; untried: ReadonlyMap<number, Untried> } {
  const nowMs = now();
  const last = task.job.history === undefined ? undefined : lastDiagnoses(task.job.history);
  const wait = (recipient: number, untilMs: number): Untried => {
    const diagnosis = last?.get(recipient);
    return diagnosis === undefined ? { untilMs } : { untilMs, last: diagnosis };
  };
  if (result.kind === "full") {
    metrics.full();
    // Mail that gets one attempt only (`dsn_expire: 0`) has no time that could run out before it.
    const isOwedOne = task.job.history === undefined && endMs <= sinceMs;
    if (nowMs < endMs || isOwedOne) {
      return { tried: nobody, untried: new Map(group.recipients.map((r) => [r, wait(r, result.retryAtMs)])) };
    }
    // Too old to wait for a place any longer. RFC 3463 §3.5, X.4.5: congestion.
    const congested: Diagnosis = { status: "4.4.5", class: "local", reason: result.reason, atMs: nowMs };
    return {
      tried: new Map(
        group.recipients.map((r) => [r, { kind: "deferred", diagnosis: last?.get(r) ?? congested }]),
      ),
      untried: nobody,
    };
  }
  if (!task.signal.aborted && result.outcomes.size === group.recipients.length) {
    return { tried: result.outcomes, untried: nobody };
  }
  const tried = new Map<number, Outcome>();
  const untried = new Map<number, Untried>();
  for (const recipient of group.recipients) {
    const outcome = result.outcomes.get(recipient);
    // Told to stop, because of a shutdown or because another worker has the job: an interruption is no attempt.
    if (task.signal.aborted && outcome?.kind !== "delivered" && outcome?.kind !== "rejected") {
      untried.set(recipient, wait(recipient, nowMs));
    } else tried.set(recipient, outcome ?? ownFault(nowMs));
  }
  return { tried, untried };
}

function priorityClassOf(queue: DeliveryQueueName, shares: Record<DeliveryQueueName, number>): PriorityClass {
  return { name: queue, jobs: shares[queue], isSlow: queue === "delivery-slow" };
}

function ownFault(nowMs: number): Outcome {
  const reason = "this mail system failed while it tried to deliver";
  return { kind: "deferred", diagnosis: { status: "4.3.0", class: "local", reason, atMs: nowMs } };
}

/** For the log: the recipients that were deferred once too often are refused now. */
function withExpiries(outcomes: ReadonlyMap<number, Outcome>, step: NextStep): ReadonlyMap<number, Outcome> {
  const expired = step.failed.filter(({ recipient }) => outcomes.get(recipient)?.kind === "deferred");
  if (expired.length === 0) return outcomes;
  const final = new Map(outcomes);
  for (const { recipient, diagnosis } of expired) final.set(recipient, { kind: "rejected", diagnosis });
  return final;
}

/** The body turned out to be damaged while it was sent: no attempt can ever succeed. */
async function moveDamagedToDead(
  deps: WorkerDependencies,
  work: Work,
  group: DeliveryGroup,
  error: SpoolCorrupt,
): Promise<GroupEnd> {
  const nowMs = deps.now();
  deps.log.error({ err: error, id: work.meta.id, job: work.task.jobId }, "a message in the spool is damaged");
  const reason = `the spool's copy of the message is damaged: ${error.message}`;
  const diagnosis: Diagnosis = { status: "5.3.0", class: "local", reason, atMs: nowMs };
  const settlement: Settlement = {
    id: work.meta.id,
    recipients: group.recipients,
    state: { kind: "dead", diagnosis, atMs: nowMs },
  };
  await deps.spool.settle([settlement]);
  await afterSettling(deps, work, nobody, [settlement]);
  return { step: { delivered: [], failed: [], warn: [] }, untried: nobody };
}
