/** The story of one bounce job: look up, decide, record, report. The spool and the queues that it uses are its caller's. */
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import type { BounceNext, BounceTask } from "../../shared/queue/contract/queue.ts";
import { compileReportPolicy } from "../../shared/routing/report-policy.ts";
import { type Spool, SpoolCorrupt } from "../../shared/spool/spool.ts";
import type { Original } from "./bounce-decision.ts";
import { unreadableMessage } from "./decide-dead.ts";
import { decideNotifications, type NotificationRules } from "./decide-notifications.ts";
import { pendingRecipients, pendingSinceMs } from "./pending-recipients.ts";
import { type PublishDeps, publish } from "./publish.ts";

export interface NotifierDeps extends PublishDeps {
  config: PublishDeps["config"] & Pick<Config, "queue" | "relay">;
  spool: Pick<Spool, "draft" | "read" | "readMeta" | "settle" | "states">;
}

const done: BounceNext = { kind: "done" };

/** @returns the handler of one bounce job; it throws when the spool or Redis fails, and the job is then repeated */
export function createNotifier(deps: NotifierDeps): (task: BounceTask) => Promise<BounceNext> {
  const rules = {
    reportPolicy: compileReportPolicy(deps.config),
    summarizeRoute: (meta: MessageMeta) => deps.summarizeRoute(meta),
  };
  return async (task) => {
    try {
      while (!(await notify(deps, rules, task)));
    } catch (error) {
      await giveUpOrThrow(deps, task, error);
    }
    return done;
  };
}

/** @returns false when other processes have reported or settled recipients meanwhile: to be looked at again */
async function notify(deps: NotifierDeps, rules: NotificationRules, task: BounceTask): Promise<boolean> {
  const { job, signal } = task;
  // Other processes settle the recipients: what they have recorded up to now must not be reported again.
  const states = await deps.spool.states(job.id, true);
  if (pendingRecipients(job, states).length === 0) return true;
  const original = await lookUp(deps, job);
  if (original === undefined) {
    deps.log.warn({ id: job.id, kind: job.kind }, "nothing to notify about: the spool has no such message");
    return true;
  }
  return publish(deps, decideNotifications(job, original, states, rules, deps.now()), async ({ settles }) => {
    // Read first: a process that was stopped notices the one that took its job over by the states alone.
    const pending = new Set(pendingRecipients(job, await deps.spool.states(job.id, true)));
    if (signal.aborted) throw new Error("the job was taken away, or the process stops");
    return settles === undefined || settles.recipients.every((recipient) => pending.has(recipient));
  });
}

/** @throws SpoolCorrupt, SpoolUnavailable when not even the envelope can be read */
async function lookUp({ spool, log }: NotifierDeps, job: BounceJob): Promise<Original | undefined> {
  try {
    return await spool.read(job.id, job.locator);
  } catch (error) {
    const meta = await spool.readMeta(job.id, job.locator);
    log.error({ err: error, id: job.id, kind: job.kind }, "the body of a message cannot be returned");
    return meta && { meta };
  }
}

/**
 * Damage does not mend itself, and what cannot be reported until it has expired, as any mail does, goes to `dead`.
 * @throws the error of a job that is to be repeated
 */
async function giveUpOrThrow(deps: NotifierDeps, { job, signal }: BounceTask, error: unknown): Promise<void> {
  const states = await deps.spool.states(job.id, true);
  const isExpired = deps.now() - pendingSinceMs(job, states, deps.now()) >= deps.config.queue.expire;
  if (!(error instanceof SpoolCorrupt) && (!isExpired || signal.aborted)) throw error;
  await publish(deps, unreadableMessage(job, states, error, deps.now()));
}
