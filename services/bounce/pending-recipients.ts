/** The recipients that a bounce job is about. Pure. */
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import { isReportPending, type RecipientState } from "../../shared/spool/recipient-state.ts";
import { unreachable } from "../../shared/unreachable.ts";
import type { States } from "./bounce-decision.ts";

/** The recipients that a bounce job is still about: what is reported already, or delivered meanwhile, is not among them. */
export function pendingRecipients(job: BounceJob, states: States): number[] {
  switch (job.kind) {
    case "failed":
      return indexesWhere(states, (state) => state.kind === "failed");
    case "delayed":
      return indexesWhere(states, (state) => state.kind === "pending" && state.delay !== undefined);
    case "succeeded":
      return indexesWhere(states, isReportPending);
    case "relayed":
    case "delivered":
      return job.recipients.map(({ recipient }) => recipient);
    default:
      return unreachable(job);
  }
}

/** Since when a report is pending, in epoch milliseconds; `nowMs` where nothing says so. */
export function pendingSinceMs(job: BounceJob, states: States, nowMs: number): number {
  const times = pendingRecipients(job, states).map((recipient) => {
    const state = states.get(recipient);
    if (state?.kind === "failed") return state.diagnosis.atMs;
    if (state !== undefined && isReportPending(state)) return state.success.atMs;
    return state?.kind === "pending" ? (state.delay?.diagnosis.atMs ?? nowMs) : nowMs;
  });
  return Math.min(nowMs, ...times);
}

function indexesWhere(states: States, matches: (state: RecipientState) => boolean): number[] {
  return [...states].filter(([, state]) => matches(state)).map(([index]) => index);
}
