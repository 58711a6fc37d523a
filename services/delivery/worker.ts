/**
 * One delivery job from its start to what follows it. What it uses (spool, transport, queues) is its caller's.
 *
 * The order of its steps is what keeps mail through a kill -9 between any two of them:
 *
 * 1. The states are read right before the attempt; who is settled is never tried again.
 * 2. What the far servers answered goes into the spool's settle log before anything else. A crash before it repeats
 *    the attempt: this window cannot be closed (RFC 1047), and nothing is lost in it.
 * 3. `failed` in the spool is the durable record that a notification is owed. The bounce job comes after it; a crash
 *    between them leaves the record, and the job's next run, or the keeper, enqueues the bounce job for it.
 * 4. `dead` likewise: recorded first, shown in the dead queue second.
 * 5. A delay that the sender is to hear of likewise: recorded, then enqueued. The warning's own record in the spool
 *    says that they have been warned.
 * 6. Only then is the job done or put back. A crash before it runs the job again, which finds in the spool what is left.
 */
import type { DeliveryTask, JobNext } from "../../shared/queue/contract/queue.ts";
import { summarizeRoute } from "../../shared/routing/route.ts";
import { allRecipientsSettled, type RecipientState } from "../../shared/spool/recipient-state.ts";
import { SpoolCorrupt } from "../../shared/spool/spool.ts";
import { joinSteps, type NextStep, type Untried } from "./decide-next.ts";
import { deliverGroup } from "./delivery-group.ts";
import { logSettled } from "./delivery-log.ts";
import { moveUnreadableToDead, repeatPendingNotifications, warnOfDelay } from "./pending-notifications.ts";
import { planAttempts } from "./plan.ts";
import type { Work, WorkerDependencies } from "./work.ts";

/** A part that a changed configuration splits over many next hops does not open connections to all of them at once. */
const groupsAtOnce = 5;

/** @returns the handler of one delivery job; it throws when the spool or Redis fails, and the job is then repeated */
export function createDeliveryWorker(deps: WorkerDependencies): (task: DeliveryTask) => Promise<JobNext> {
  return async (task) => {
    deps.metrics.active(1);
    try {
      const work = await load(deps, task);
      return work === undefined ? done : await deliver(deps, work);
    } finally {
      deps.metrics.active(-1);
    }
  };
}

const done: JobNext = { kind: "done" };

/** @returns `undefined` when there is nothing to deliver */
async function load(deps: WorkerDependencies, task: DeliveryTask): Promise<Work | undefined> {
  const { job, jobId } = task;
  try {
    const found = await deps.spool.read(job.id, job.locator);
    if (found !== undefined) {
      const { meta, body } = found;
      // What an operator kept back has its whole time all the same: a hold spends no schedule.
      const sinceMs = (job.revivedAtMs ?? meta.receivedAtMs) + (job.heldMs ?? 0);
      return { task, meta, body, sinceMs };
    }
    deps.log.info({ id: job.id, job: jobId }, "nothing to deliver: the spool has no such message any more");
  } catch (error) {
    if (!(error instanceof SpoolCorrupt)) throw error;
    await moveUnreadableToDead(deps, job, error);
  }
  return undefined;
}

async function deliver(deps: WorkerDependencies, work: Work): Promise<JobNext> {
  const { task, meta, sinceMs } = work;
  const { job } = task;
  const part = meta.parts[job.part] ?? [];
  // A job that runs for the first time has nothing settled by others but what was settled before it was enqueued.
  const mayHaveRun = task.mayHaveRun === true || job.history !== undefined;
  const states = await deps.spool.states(job.id, mayHaveRun);
  if (states.size > 0) await repeatPendingNotifications(deps, work, part, states);
  const pending = part.filter((recipient) => isPending(states.get(recipient)));
  const [first] = pending;
  if (first === undefined) return done;

  const plan = planAttempts(
    meta,
    pending,
    { sinceMs, history: job.history },
    deps.router,
    deps.config.relay.backup,
    deps.now(),
  );
  const { steps, untried } = await deliverGroups(deps, work, plan.groups, plan.untried);
  // Nothing was tried: the destination is full, the backup's time has not come, or we were told to stop.
  if (steps.length === 0) {
    return { kind: "postponed", atMs: Math.min(...[...untried.values()].map(({ untilMs }) => untilMs)) };
  }
  const next = joinSteps(steps, untried, { queue: task.queue, history: job.history }, deps.now());
  if (next.warn.length > 0) await warnOfDelay(deps, work, next.warn, states);
  if (next.retry !== undefined) {
    return {
      kind: "later",
      route: summarizeRoute(plan.groups[0] ?? deps.router.route(meta, first)),
      ...next.retry,
    };
  }
  await noteSettled(deps, work, next.delivered.length === meta.envelope.recipients.length);
  return done;
}

async function deliverGroups(
  deps: WorkerDependencies,
  work: Work,
  groups: Parameters<typeof deliverGroup>[2][],
  waiting: ReadonlyMap<number, Untried>,
): Promise<{ steps: NextStep[]; untried: Map<number, Untried> }> {
  const steps: NextStep[] = [];
  const untried = new Map(waiting);
  for (let start = 0; start < groups.length; start += groupsAtOnce) {
    const ends = await Promise.all(
      groups.slice(start, start + groupsAtOnce).map((group) => deliverGroup(deps, work, group)),
    );
    for (const end of ends) {
      if (end.step !== undefined) steps.push(end.step);
      for (const [recipient, reason] of end.untried) untried.set(recipient, reason);
    }
  }
  return { steps, untried };
}

/** Says so when nothing of the message is owed any more. @param known  this job alone delivered all of it */
async function noteSettled(
  { log, spool, now }: WorkerDependencies,
  { meta }: Work,
  known: boolean,
): Promise<void> {
  if (!known) {
    // Other parts are other workers' work: of two that end together, one sees the other's.
    const states = await spool.states(meta.id, true);
    if (!allRecipientsSettled(states, meta.envelope.recipients.length)) return;
  }
  logSettled(log, meta, now());
}

function isPending(state: RecipientState | undefined): boolean {
  return state === undefined || state.kind === "pending";
}
