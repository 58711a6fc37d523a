/** What a recipient's last trouble becomes when the message is too old. */
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";

/**
 * The diagnosis of a recipient that we give up on. RFC 3463 §3.5: X.4.7 is "delivery time expired". The last
 * real reply and the server that gave it stay, so that the sender reads what the trouble was and not only that it lasted.
 */
export function expired(last: Diagnosis, sinceMs: number, nowMs: number): Diagnosis {
  return {
    ...last,
    status: "5.4.7",
    reason: `delivery time expired after ${describeSpan(nowMs - sinceMs)}; the last trouble: ${last.reason}`,
  };
}

/** `5 days`, `4 hours`, `1 minute`: the largest unit that fits, rounded down. */
function describeSpan(ms: number): string {
  const units = [
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
    ["second", 1000],
  ] as const;
  for (const [name, unitMs] of units) {
    const count = Math.floor(ms / unitMs);
    if (count > 0) return `${count} ${name}${count === 1 ? "" : "s"}`;
  }
  return "a second";
}
