/** What follows from a bounce job: which notifications to make, and what is settled without one. Pure. */
import type { NotifyEvent } from "../../shared/mail/envelope.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import type { ReportPolicy } from "../../shared/routing/report-policy.ts";
import type { RouteSummary } from "../../shared/routing/route.ts";
import { allRecipientsSettled } from "../../shared/spool/recipient-state.ts";
import type { Settlement } from "../../shared/spool/spool.ts";
import { unreachable } from "../../shared/unreachable.ts";
import {
  type BounceDecision,
  notify,
  type Original,
  reportedRecipients,
  type States,
  withhold,
} from "./bounce-decision.ts";
import { withholdFailures } from "./decide-dead.ts";
import { reportPendingSuccesses, reportSuccesses } from "./decide-successes.ts";
import { pendingRecipients } from "./pending-recipients.ts";

export interface NotificationRules {
  reportPolicy: ReportPolicy;
  /** The route that a dead job carries. */
  summarizeRoute(meta: MessageMeta): RouteSummary;
}

export function decideNotifications(
  job: BounceJob,
  original: Original,
  states: States,
  { reportPolicy, summarizeRoute }: NotificationRules,
  nowMs: number,
): BounceDecision {
  const { meta } = original;
  const pending = pendingRecipients(job, states);
  const why = reportPolicy.whyWithheld(meta, eventOf[job.kind]);
  switch (job.kind) {
    case "failed":
      return why === undefined
        ? reportFailures(original, states, pending, nowMs)
        : withholdFailures(job, meta, states, summarizeRoute(meta), why, nowMs);
    case "delayed":
      return why === undefined ? reportDelays(original, states, pending) : withholdDelays(meta, pending, why);
    case "succeeded":
      return reportPendingSuccesses(original, states, pending, why, nowMs);
    case "relayed":
    case "delivered":
      return why === undefined ? reportSuccesses(original, job) : withhold(meta, job.kind, pending, why);
    default:
      return unreachable(job);
  }
}

const eventOf: Record<BounceJob["kind"], NotifyEvent> = {
  failed: "FAILURE",
  delayed: "DELAY",
  succeeded: "SUCCESS",
  relayed: "SUCCESS",
  delivered: "SUCCESS",
};

/** One notification for all recipients that failed so far. */
function reportFailures(original: Original, states: States, failed: number[], nowMs: number): BounceDecision {
  const { id, envelope, receivedAtMs } = original.meta;
  const reported = reportedRecipients(envelope, failed, "FAILURE", (index) => {
    const state = states.get(index);
    return state?.kind === "failed" ? state.diagnosis : undefined;
  });
  const settlement: Settlement = { id, recipients: failed, state: { kind: "bounced" } };
  const decision = notify(original, "failed", reported, settlement);
  if (!allRecipientsSettled(states, envelope.recipients.length, failed)) return decision;
  const fields = { event: "message.settled" as const, id, delayMs: nowMs - receivedAtMs };
  return { ...decision, logLines: [{ level: "info", fields }] };
}

/** One warning for all recipients whose delay is not reported yet; its record notes that the sender was warned. */
function reportDelays(original: Original, states: States, late: number[]): BounceDecision {
  const { id, envelope } = original.meta;
  const reported = reportedRecipients(envelope, late, "DELAY", (index) => {
    const state = states.get(index);
    if (state?.kind !== "pending" || state.delay === undefined) return undefined;
    return { ...state.delay.diagnosis, willRetryUntilMs: state.delay.willRetryUntilMs };
  });
  return notify(original, "delayed", reported, warned(id, late));
}

function warned(id: string, recipients: number[]): Settlement {
  return { id, recipients, state: { kind: "pending", warned: true } };
}

/** The delay counts as reported, so that no later attempt comes back to it. */
function withholdDelays(meta: MessageMeta, late: number[], reason: string): BounceDecision {
  return { ...withhold(meta, "delayed", late, reason), settlements: [warned(meta.id, late)] };
}
