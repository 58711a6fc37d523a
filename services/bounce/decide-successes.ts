/** Success reports: which notifications of successful deliveries to make. Pure. */
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import type { LogLine } from "../../shared/runtime/log.ts";
import { allRecipientsSettled, isReportPending, type Success } from "../../shared/spool/recipient-state.ts";
import type { Settlement } from "../../shared/spool/spool.ts";
import {
  type BounceDecision,
  nothing,
  notify,
  type Original,
  plan,
  reportedRecipients,
  type States,
  withhold,
} from "./bounce-decision.ts";
import { inBatches } from "./delivery-status.ts";
import type { RecipientReport } from "./dsn.ts";

/** One notification for all deliveries that are not reported yet, by whether the server passes the message on. */
export function reportPendingSuccesses(
  original: Original,
  states: States,
  pending: number[],
  why: string | undefined,
  nowMs: number,
): BounceDecision {
  const { meta } = original;
  const { id, envelope, receivedAtMs } = meta;
  const decisions = (["relayed", "delivered"] as const).flatMap((kind) => {
    const successOf = (index: number): Success | undefined => {
      const state = states.get(index);
      return state !== undefined && isReportPending(state) && state.success.kind === kind
        ? state.success
        : undefined;
    };
    const recipients = pending.filter((index) => successOf(index) !== undefined);
    if (recipients.length === 0) return [];
    const settlement: Settlement = { id, recipients, state: { kind: "delivered" } };
    if (why !== undefined) return [{ ...withhold(meta, kind, recipients, why), settlements: [settlement] }];
    const reported = reportedRecipients(envelope, recipients, "SUCCESS", (index) => {
      const success = successOf(index);
      return success && acceptanceReport(success);
    });
    return [notify(original, kind, reported, settlement)];
  });
  const isSettled = allRecipientsSettled(states, envelope.recipients.length, pending);
  const fields = { event: "message.settled" as const, id, delayMs: nowMs - receivedAtMs };
  const settledLine: LogLine[] = isSettled ? [{ level: "info", fields }] : [];
  const withheld = decisions[0]?.withheld;
  return {
    ...nothing,
    ...(withheld === undefined ? {} : { withheld }),
    settlements: decisions.flatMap(({ settlements }) => settlements),
    notifications: decisions.flatMap(({ notifications }) => notifications),
    logLines: [...decisions.flatMap(({ logLines }) => logLines), ...settledLine],
  };
}

type Acceptance = Pick<Success, "reply" | "remote" | "atMs">;

function acceptanceReport({ reply, remote, atMs }: Acceptance): RecipientReport {
  return { status: reply.enhanced ?? "2.0.0", reason: "accepted", reply, remote, atMs };
}

/**
 * Of a job of version 0.1, of which the states say nothing: a crash right after the notification is stored can repeat
 * it, which does no harm.
 */
export function reportSuccesses(
  original: Original,
  { kind, recipients }: Extract<BounceJob, { kind: "relayed" | "delivered" }>,
): BounceDecision {
  const { envelope } = original.meta;
  const accepted = new Map(recipients.map((acceptance) => [acceptance.recipient, acceptance]));
  const reported = reportedRecipients(envelope, [...accepted.keys()], "SUCCESS", (index) => {
    const acceptance = accepted.get(index);
    return acceptance && acceptanceReport(acceptance as Acceptance);
  });
  return { ...nothing, notifications: inBatches(reported).map((batch) => plan(original, kind, batch)) };
}
