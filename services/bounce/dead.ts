/** The jobs for the dead queue of what could be neither delivered nor returned. Pure. */
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { BounceJob, DeadJob } from "../../shared/queue/contract/contract.ts";
import { makeDeliveryJob } from "../../shared/queue/contract/delivery-job.ts";
import type { Settlement, StoredMessage } from "../../shared/spool/spool.ts";

/** One job for each part of the message that has a dead recipient: put back, it is an ordinary delivery job again. */
export function deadJobs(
  stored: StoredMessage,
  settlements: readonly Settlement[],
  reason: string,
  describeRoute: (meta: MessageMeta) => string,
): DeadJob[] {
  const byPart = new Map<number, DeadJob>();
  for (const { recipients, state } of settlements) {
    const part = stored.meta.parts.findIndex((indexes) =>
      recipients.some((index) => indexes.includes(index)),
    );
    if (part < 0 || byPart.has(part) || state.kind !== "dead") continue;
    byPart.set(part, {
      version: 1,
      job: makeDeliveryJob(stored, part, describeRoute(stored.meta), true),
      reason,
      diagnosis: state.diagnosis,
      deadAtMs: state.atMs,
    });
  }
  return [...byPart.values()];
}

/** Of a message whose record cannot be read no more is known than its id. */
export function unreadableJob(job: BounceJob, reason: string, nowMs: number): DeadJob {
  return {
    version: 1,
    job: {
      version: 1,
      id: job.id,
      part: 0,
      locator: job.locator,
      from: "",
      to: [],
      route: "",
      size: 0,
      receivedAtMs: nowMs,
    },
    reason,
    deadAtMs: nowMs,
  };
}
