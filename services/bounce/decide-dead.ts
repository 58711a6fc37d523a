/** Failures that nobody hears of: they are kept for the operators. Pure. */
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import { deadFromMessage, deadUnreadableBounce } from "../../shared/queue/contract/dead-job.ts";
import type { RouteSummary } from "../../shared/routing/route.ts";
import type { LogLine } from "../../shared/runtime/log.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Settlement } from "../../shared/spool/spool.ts";
import { unreachable } from "../../shared/unreachable.ts";
import { type BounceDecision, nothing, type States } from "./bounce-decision.ts";
import { pendingRecipients } from "./pending-recipients.ts";

/** Nobody hears of the failures: they are kept for the operators. */
export function withholdFailures(
  job: BounceJob,
  meta: MessageMeta,
  states: States,
  route: RouteSummary,
  reason: string,
  nowMs: number,
): BounceDecision {
  const settlements = deadSettlements(meta.id, states, nowMs);
  const stored = { meta, locator: job.locator };
  // One for each recipient group: requeued, it is an ordinary delivery job again.
  const deadJobs = meta.parts.flatMap((indexes, group) => {
    const dead = settlements.find(
      ({ recipients: [index] }) => index !== undefined && indexes.includes(index),
    );
    return dead === undefined ? [] : [deadFromMessage(stored, group, route, dead.state, reason)];
  });
  const fields = { event: "message.dead" as const, id: meta.id, from: meta.envelope.reversePath, reason };
  return {
    ...nothing,
    settlements,
    deadJobs,
    deadRecipients: settlements.length,
    withheld: "failed",
    logLines: [{ level: "warn", fields }],
  };
}

/**
 * The envelope cannot be read: failures can be reported to the operators only, delays and successes to nobody. They
 * count as reported, so that the job does not come back.
 */
export function unreadableMessage(
  job: BounceJob,
  states: States,
  error: unknown,
  nowMs: number,
): BounceDecision {
  const { id } = job;
  const reason = `the spool's record is damaged: ${error instanceof Error ? error.message : error}`;
  const logLines: LogLine[] = [{ level: "error", fields: { event: "message.dead", id, err: error, reason } }];
  const recipients = pendingRecipients(job, states);
  switch (job.kind) {
    case "failed": {
      const settlements = deadSettlements(id, states, nowMs);
      const deadJobs = [deadUnreadableBounce(job, reason, nowMs)];
      return { ...nothing, settlements, deadJobs, deadRecipients: settlements.length, logLines };
    }
    case "delayed": {
      const settlements: Settlement[] = [{ id, recipients, state: { kind: "pending", warned: true } }];
      return { ...nothing, settlements, logLines };
    }
    case "succeeded":
      return { ...nothing, settlements: [{ id, recipients, state: { kind: "delivered" } }], logLines };
    case "relayed":
    case "delivered":
      return { ...nothing, logLines };
    default:
      return unreachable(job);
  }
}

type DeadSettlement = Settlement & { state: Extract<RecipientState, { kind: "dead" }> };

function deadSettlements(id: string, states: States, atMs: number): DeadSettlement[] {
  return [...states].flatMap(([index, state]) =>
    state.kind === "failed"
      ? [{ id, recipients: [index], state: { kind: "dead", diagnosis: state.diagnosis, atMs } }]
      : [],
  );
}
