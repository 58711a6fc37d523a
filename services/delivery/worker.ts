/**
 * The story of one delivery job: look up, decide, attempt, record, report. The spool, the SMTP client and the queues
 * that it uses are its caller's.
 *
 * A crash between any two steps loses no mail: what is to be recorded and reported is published in an order that the
 * next run can take up (publish.ts), and the job ends only after that. A crash before its end runs it again, and it
 * finds in the spool which recipients are left.
 */
import type { Config } from "../../shared/config/schema.ts";
import { wantsReport } from "../../shared/mail/notify.ts";
import type { AttemptHistory } from "../../shared/queue/contract/contract.ts";
import type { DeliveryTask, JobNext } from "../../shared/queue/contract/queue.ts";
import { summarizeRoute } from "../../shared/routing/route.ts";
import { allRecipientsSettled, type RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { unreachable } from "../../shared/unreachable.ts";
import { type AttemptDeps, attemptGroup } from "./attempt-group.ts";
import { decideDelivered, decideGroup, type GroupDecision, withoutRecipients } from "./decide-group.ts";
import { joinSteps, type NextStep, type Untried } from "./decide-next.ts";
import {
  delayWarning,
  settledMessage,
  undeliverable,
  undeliverableMessage,
  unpublishedEffects,
  unreadableMessage,
} from "./effects.ts";
import { isFinal, type LookUpDeps, lookUp, lookUpEnvelope } from "./look-up.ts";
import {
  type DeliveryGroup,
  type LoadedEnvelope,
  type LoadedJob,
  lastDiagnoses,
  type Plan,
  planAttempts,
  type Router,
  withEnvelope,
} from "./plan.ts";
import { type PublishDeps, publish } from "./publish.ts";
import { viaOf, withReroutes } from "./reroutes.ts";

export interface WorkerDeps extends PublishDeps, AttemptDeps, LookUpDeps {
  config: Pick<Config, "queue" | "dsn" | "relay">;
  spool: LookUpDeps["spool"] & Pick<Spool, "states" | "settle" | "recordSettlements">;
  router: Router;
  /** 0..1 */
  jitter(): number;
}

/** Recipients that a changed configuration sends to many next hops do not open connections to all of them at once. */
const groupsAtOnce = 5;

const done: JobNext = { kind: "done" };

/** @returns the handler of one delivery job; it throws when the spool or Redis fails, and the job is then repeated */
export function createDeliveryWorker(deps: WorkerDeps): (task: DeliveryTask) => Promise<JobNext> {
  return async (task) => {
    deps.metrics.active(1);
    try {
      const found = await lookUp(deps, task);
      switch (found.kind) {
        case "found":
          return await deliver(deps, found.loaded);
        case "gone":
          return done;
        case "undeliverable":
          return await giveUp(deps, task, found.error);
        default:
          return unreachable(found);
      }
    } finally {
      deps.metrics.active(-1);
    }
  };
}

async function deliver(deps: WorkerDeps, loaded: LoadedJob): Promise<JobNext> {
  const { task, meta, recipients } = loaded;
  const { job } = task;
  // The states are read right before the attempts: a settled recipient is never tried again. For a job that runs for
  // the first time they need not be fresh: no other process has settled anything since it was enqueued.
  const states = await deps.spool.states(job.id, task.mayHaveRun === true || job.history !== undefined);
  if (states.size > 0) await publish(deps, task, unpublishedEffects(loaded, states));
  const pending = recipients.filter((recipient) => isPending(states.get(recipient)));
  const [first] = pending;
  if (first === undefined) return done;

  const router = withReroutes(deps.router, states);
  let plan: Plan;
  try {
    plan = planAttempts(loaded, pending, router, deps.config.relay.backup, deps.now());
  } catch (error) {
    if (!isFinal(deps, task, error)) throw error;
    return giveUp(deps, task, error);
  }
  const { steps, untried } = await deliverGroups(deps, loaded, plan);
  // The time of the backup has not come, or the worker is stopped.
  if (steps.length === 0 && isKnown(untried, job.history))
    return { kind: "postponed", atMs: earliestMs(untried) };

  const next = joinSteps(steps, untried, { queue: task.queue, history: job.history }, deps.now());
  if (next.warn.length > 0)
    await publish(deps, task, delayWarning(loaded, next.warn, states, deps.config.queue));
  if (next.retry !== undefined) {
    // An operator may have rerouted it during the attempt: the job carries the next hop of the next one.
    const now = await deps.spool.states(job.id);
    const tried = viaOf(now, first) === viaOf(states, first) ? plan.groups[0] : undefined;
    const route = summarizeRoute(tried ?? withReroutes(deps.router, now).route(meta, first));
    return { kind: "later", route, ...next.retry };
  }
  if (await isMessageSettled(deps, loaded, next)) await publish(deps, task, settledMessage(meta, deps.now()));
  return done;
}

/** Fails the recipients that are left, without an attempt: their sender hears of it if the envelope can be read. */
async function giveUp(deps: WorkerDeps, task: DeliveryTask, error: unknown): Promise<JobNext> {
  const { job, jobId } = task;
  deps.log.error({ err: error, id: job.id, job: jobId }, "no attempt can be made with a message");
  // What other processes have settled up to now must not be reported as failed.
  const states = await deps.spool.states(job.id, true);
  const envelope = await lookUpEnvelope(deps, task);
  if (envelope.kind === "gone") return done;
  if (envelope.kind === "unreadable") {
    const recipients = Array.from({ length: envelope.recipients }, (_, recipient) => recipient);
    const pending = recipients.filter((recipient) => isPending(states.get(recipient)));
    const isSettled = recipients.length > 0 && allRecipientsSettled(states, recipients.length);
    if (!isSettled) await publish(deps, task, unreadableMessage(job, envelope.error, pending, deps.now()));
    return done;
  }
  const loaded = withEnvelope(task, envelope.meta);
  if (states.size > 0) await publish(deps, task, unpublishedEffects(loaded, states));
  const pending = loaded.recipients.filter((recipient) => isPending(states.get(recipient)));
  if (pending.length === 0) return done;
  const nowMs = deps.now();
  const { step, effects } = undeliverableMessage(loaded, pending, undeliverable(error, nowMs), nowMs);
  await publish(deps, task, effects);
  if (await isMessageSettled(deps, loaded, step))
    await publish(deps, task, settledMessage(loaded.meta, deps.now()));
  return done;
}

async function deliverGroups(
  deps: WorkerDeps,
  loaded: LoadedJob,
  plan: Plan,
): Promise<{ steps: NextStep[]; untried: ReadonlyMap<number, Untried> }> {
  const steps: NextStep[] = [];
  const untried = new Map(plan.untried);
  for (let start = 0; start < plan.groups.length; start += groupsAtOnce) {
    const groups = plan.groups.slice(start, start + groupsAtOnce);
    const decisions = await Promise.all(groups.map((group) => deliverGroup(deps, loaded, group)));
    for (const decision of decisions.flat()) {
      if (decision.step !== undefined) steps.push(decision.step);
      for (const [recipient, reason] of decision.untried) untried.set(recipient, reason);
    }
  }
  return { steps, untried };
}

/**
 * What a server answered is published at once: deliveries after each transaction, everything else when the attempt has
 * ended. Neither waits for the other groups.
 */
async function deliverGroup(
  deps: WorkerDeps,
  loaded: LoadedJob,
  group: DeliveryGroup,
): Promise<GroupDecision[]> {
  const early: GroupDecision[] = [];
  const publishing: Promise<void>[] = [];
  const result = await attemptGroup(deps, loaded, group, (outcomes, facts) => {
    const decision = decideDelivered(loaded, group, outcomes, facts, deps.now());
    // What cannot be recorded now is published again with the rest.
    const published = publish(deps, loaded.task, decision.effects).then(
      () => void early.push(decision),
      (error) => deps.log.warn({ err: error, id: loaded.meta.id }, "a delivery could not be recorded yet"),
    );
    publishing.push(published);
  });
  await Promise.all(publishing);
  const rest = withoutRecipients(group, result, new Set(early.flatMap(({ step }) => step?.delivered ?? [])));
  const decision = decideGroup(loaded, rest.group, rest.result, deps.config, deps.now(), deps.jitter());
  await publish(deps, loaded.task, decision.effects);
  return [...early, decision];
}

/** Whether no recipient of the message is left, those of its other jobs included. */
async function isMessageSettled(
  { spool }: WorkerDeps,
  { meta }: LoadedEnvelope,
  { delivered }: NextStep,
): Promise<boolean> {
  const { length } = meta.envelope.recipients;
  const isReported = delivered.some((recipient) => wantsReport(meta.envelope, recipient, "SUCCESS"));
  if (delivered.length === length && !isReported) return true;
  // Other workers may have its other jobs: of two jobs that end together, one sees what the other settled.
  return allRecipientsSettled(await spool.states(meta.id, true), length);
}

function isPending(state: RecipientState | undefined): boolean {
  return state === undefined || state.kind === "pending";
}

/** Whether the job says already why these recipients wait, and no warning is due. */
function isKnown(untried: ReadonlyMap<number, Untried>, history: AttemptHistory | undefined): boolean {
  const known = lastDiagnoses(history);
  return [...untried].every(([recipient, { last, warn }]) => {
    return warn !== true && last?.reason === known?.get(recipient)?.reason;
  });
}

function earliestMs(untried: ReadonlyMap<number, Untried>): number {
  return Math.min(...[...untried.values()].map(({ untilMs }) => untilMs));
}
