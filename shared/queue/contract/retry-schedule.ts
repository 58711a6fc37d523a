/** The retry schedule: how long to wait after an attempt, when a message expires, and what a job records of its attempts. Pure. */
import type { Config } from "../../config/schema.ts";
import type { Diagnosis } from "../../smtp/diagnosis.ts";
import type { DeliveryJob } from "./contract.ts";

/** The schedule never spins, whatever durations it is given. */
export const shortestWaitMs = 100;

/**
 * The wait after so many attempts.
 * @param jitter  0..1, spreads retries by ±10 % so that a restart or a dead server's return is no stampede
 */
export function waitMs(attempts: number, { retry }: Pick<Config["queue"], "retry">, jitter: number): number {
  const scheduled = retry[Math.min(attempts, retry.length) - 1] ?? shortestWaitMs;
  return Math.max(shortestWaitMs, scheduled * (0.9 + 0.2 * jitter));
}

/**
 * The moment after which no attempt follows, in epoch milliseconds.
 * RFC 5321 §4.5.4.1: give up after 4-5 days. Mail of the null sender, that is notifications, may have less.
 * @param message  `sinceMs`: from when its time counts, in epoch milliseconds
 */
export function expiresAtMs(
  message: { sinceMs: number; nullSender: boolean },
  policy: Pick<Config["queue"], "expire" | "dsn_expire">,
): number {
  return message.sinceMs + (message.nullSender ? policy.dsn_expire : policy.expire);
}

/**
 * From when a job's time counts, in epoch milliseconds. Held mail keeps its whole time to live: the time under a hold does
 * not count.
 */
export function sinceMs(
  { revivedAtMs, heldMs }: Pick<DeliveryJob, "revivedAtMs" | "heldMs">,
  receivedAtMs: number,
): number {
  return (revivedAtMs ?? receivedAtMs) + (heldMs ?? 0);
}

/** Groups recipients with equal diagnoses: a thousand recipients of a dead server are one entry of the job's history. */
export function groupEqual(
  diagnoses: Iterable<readonly [recipient: number, diagnosis: Diagnosis]>,
): { recipients: number[]; diagnosis: Diagnosis }[] {
  const groups = new Map<string, { recipients: number[]; diagnosis: Diagnosis }>();
  for (const [recipient, diagnosis] of diagnoses) {
    const { status, reason, reply, remote, possiblyDelivered } = diagnosis;
    const key = `${status} ${reply?.code} ${remote?.address} ${possiblyDelivered} ${reason} ${reply?.lines.join(" ")}`;
    const group = groups.get(key);
    if (group) group.recipients.push(recipient);
    else groups.set(key, { recipients: [recipient], diagnosis });
  }
  return [...groups.values()];
}
