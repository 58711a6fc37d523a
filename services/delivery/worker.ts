/**
 * The story of one delivery job: look up, decide, attempt, record, report. The spool, the SMTP client and the queues
 * that it uses are its caller's.
 *
 * A crash between any two steps loses no mail: what is to be recorded and reported is published in an order that the
 * next run can take up (publish.ts), and the job ends only after that. A crash before its end runs it again, and it
 * finds in the spool which recipients are left.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { DeliveryTask, JobNext } from "../../shared/queue/contract/queue.ts";
import { summarizeRoute } from "../../shared/routing/route.ts";
import { allRecipientsSettled, type RecipientState } from "../../shared/spool/recipient-state.ts";
import { type Spool, SpoolCorrupt } from "../../shared/spool/spool.ts";
import { type AttemptDeps, attemptGroup } from "./attempt-group.ts";
import { decideDelivered, decideGroup, type GroupDecision, withoutRecipients } from "./decide-group.ts";
import { joinSteps, type NextStep, type Untried } from "./decide-next.ts";
import { delayWarning, settledMessage, unpublishedEffects, unreadableMessage } from "./effects.ts";
import { type DeliveryGroup, type LoadedJob, type Plan, planAttempts, type Router } from "./plan.ts";
import { type PublishDeps, publish } from "./publish.ts";

export interface WorkerDeps extends PublishDeps, AttemptDeps {
  config: Pick<Config, "queue" | "dsn" | "relay">;
  spool: Pick<Spool, "read" | "states" | "settle">;
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
      const loaded = await load(deps, task);
      return loaded === undefined ? done : await deliver(deps, loaded);
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

  const plan = planAttempts(loaded, pending, deps.router, deps.config.relay.backup, deps.now());
  const { steps, untried } = await deliverGroups(deps, loaded, plan);
  // No recipient was tried: the destination is full, the time of the backup has not come, or the worker is stopped.
  if (steps.length === 0) return { kind: "postponed", atMs: earliestMs(untried) };

  const next = joinSteps(steps, untried, { queue: task.queue, history: job.history }, deps.now());
  if (next.warn.length > 0)
    await publish(deps, task, delayWarning(loaded, next.warn, states, deps.config.queue));
  if (next.retry !== undefined) {
    const route = summarizeRoute(plan.groups[0] ?? deps.router.route(meta, first));
    return { kind: "later", route, ...next.retry };
  }
  if (await isMessageSettled(deps, loaded, next)) await publish(deps, task, settledMessage(meta, deps.now()));
  return done;
}

/** @returns `undefined` when there is nothing to deliver */
async function load(deps: WorkerDeps, task: DeliveryTask): Promise<LoadedJob | undefined> {
  const { job, jobId } = task;
  try {
    const found = await deps.spool.read(job.id, job.locator);
    if (found === undefined) {
      deps.log.info(
        { id: job.id, job: jobId },
        "nothing to deliver: the spool does not have the message any more",
      );
      return undefined;
    }
    const { meta, body } = found;
    // Held mail keeps its whole time to live: the time under a hold does not count.
    const sinceMs = (job.revivedAtMs ?? meta.receivedAtMs) + (job.heldMs ?? 0);
    return { task, meta, body, recipients: meta.parts[job.part] ?? [], sinceMs };
  } catch (error) {
    if (!(error instanceof SpoolCorrupt)) throw error;
    await publish(deps, task, unreadableMessage(job, error, deps.now()));
    return undefined;
  }
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
  { meta }: LoadedJob,
  { delivered }: NextStep,
): Promise<boolean> {
  const { length } = meta.envelope.recipients;
  if (delivered.length === length) return true;
  // Other workers may have its other jobs: of two jobs that end together, one sees what the other settled.
  return allRecipientsSettled(await spool.states(meta.id, true), length);
}

function isPending(state: RecipientState | undefined): boolean {
  return state === undefined || state.kind === "pending";
}

function earliestMs(untried: ReadonlyMap<number, Untried>): number {
  return Math.min(...[...untried.values()].map(({ untilMs }) => untilMs));
}
