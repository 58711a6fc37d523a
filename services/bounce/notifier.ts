/** The story of one bounce job: look up, decide, record, report. The spool and the queues that it uses are its caller's. */
import type { BounceNext, BounceTask } from "../../shared/queue/contract/queue.ts";
import { type Spool, SpoolCorrupt } from "../../shared/spool/spool.ts";
import { decideNotifications, pendingRecipients, unreadableMessage } from "./decide-notifications.ts";
import { type PublishDeps, publish } from "./publish.ts";

export interface NotifierDeps extends PublishDeps {
  spool: Pick<Spool, "draft" | "read" | "settle" | "states">;
}

const done: BounceNext = { kind: "done" };

/** @returns the handler of one bounce job; it throws when the spool or Redis fails, and the job is then repeated */
export function createNotifier(deps: NotifierDeps): (task: BounceTask) => Promise<BounceNext> {
  const { log, spool } = deps;
  return async ({ job }) => {
    // Other processes settle the recipients: what they have recorded up to now must not be reported again.
    const states = await spool.states(job.id, true);
    if (pendingRecipients(job, states).length === 0) return done;
    try {
      const original = await spool.read(job.id, job.locator);
      if (original === undefined) {
        log.warn({ id: job.id, kind: job.kind }, "nothing to notify about: the spool has no such message");
        return done;
      }
      await publish(deps, decideNotifications(job, original, states, deps.summarizeRoute, deps.now()));
    } catch (error) {
      // The body may turn out damaged only when the notification quotes it.
      if (!(error instanceof SpoolCorrupt)) throw error;
      await publish(deps, unreadableMessage(job, states, error, deps.now()));
    }
    return done;
  };
}
