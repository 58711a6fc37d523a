/** What the spool records of a decided attempt: who is delivered, whose sender is owed a notification, who is dead. Pure. */

import type { Envelope } from "../../shared/mail/envelope.ts";
import { wantsReport } from "../../shared/mail/notify.ts";
import { groupEqual } from "../../shared/queue/contract/retry-schedule.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Settlement } from "../../shared/spool/spool.ts";
import type { NextStep } from "./decide-next.ts";

export function settlementsOf(
  id: string,
  envelope: Envelope,
  step: Pick<NextStep, "delivered" | "failed">,
  nowMs: number,
): Settlement[] {
  const settlements: Settlement[] = [];
  if (step.delivered.length > 0) {
    settlements.push({ id, recipients: step.delivered, state: { kind: "delivered" } });
  }
  if (step.failed.length === 0) return settlements;
  const byEnd = new Map<Exclude<FailureEnd, "bounced">, [number, Diagnosis][]>();
  const silent: number[] = [];
  for (const { recipient, diagnosis } of step.failed) {
    const end = failureEnd(envelope, recipient);
    if (end === "bounced") {
      silent.push(recipient);
      continue;
    }
    const group = byEnd.get(end);
    if (group) group.push([recipient, diagnosis]);
    else byEnd.set(end, [[recipient, diagnosis]]);
  }
  if (silent.length > 0) settlements.push({ id, recipients: silent, state: { kind: "bounced" } });
  for (const [end, entries] of byEnd) {
    for (const { recipients, diagnosis } of groupEqual(entries)) {
      const state: RecipientState =
        end === "dead" ? { kind: "dead", diagnosis, atMs: nowMs } : { kind: "failed", diagnosis };
      settlements.push({ id, recipients, state });
    }
  }
  return settlements;
}

type FailureEnd = "failed" | "dead" | "bounced";

/**
 * RFC 5321 §4.5.5: nothing is returned to the null sender, so what fails is kept for the operators.
 * RFC 3461 §4.1: who did not ask to hear of failures hears nothing, and nothing is owed any more.
 */
function failureEnd(envelope: Envelope, recipient: number): FailureEnd {
  if (envelope.reversePath === "") return "dead";
  return wantsReport(envelope, recipient, "FAILURE") ? "failed" : "bounced";
}
