/** When `relay.backup` takes over: a decision by the class of the last failure and the age of the message. */
import type { Config } from "../../shared/config/schema.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";

export type BackupPolicy = Pick<NonNullable<Config["relay"]["backup"]>, "after" | "on">;

/** How the next attempt for a recipient goes. */
export type WayChoice =
  /** Its own route. */
  | { kind: "own" }
  | { kind: "backup" }
  /** Its own route refused it for good, and the backup's time has not come yet. */
  | { kind: "wait"; untilMs: number };

const ownWay: WayChoice = { kind: "own" };
const backupWay: WayChoice = { kind: "backup" };

/**
 * Needs no memory of its own: the last diagnosis in the job's history and the message's age say it all.
 * @param last          how the recipient's last attempt ended; `undefined` before the first
 * @param wasByBackup   that attempt was the backup's
 */
export function chooseWay(
  last: Diagnosis | undefined,
  sinceMs: number,
  policy: BackupPolicy | undefined,
  nowMs: number,
  wasByBackup = false,
): WayChoice {
  // In turn, since either may be well again; but its own way may have refused for good what the backup takes over then.
  if (wasByBackup && policy?.on.includes("5xx") !== true) return ownWay;
  if (policy === undefined || last === undefined || !takesOver(last, policy)) return ownWay;
  const fromMs = sinceMs + policy.after;
  if (nowMs >= fromMs) return backupWay;
  // RFC 5321 §4.2.1: what a 5xx refused is not tried unchanged again.
  return isRefusal(last) ? { kind: "wait", untilMs: fromMs } : ownWay;
}

/**
 * Whether a failure is of a class that the backup is for. A definite refusal that no server spoke (no such domain,
 * a null MX, MX records that REQUIRETLS may not trust) is none: the sender should hear at once.
 */
export function takesOver(diagnosis: Diagnosis, policy: BackupPolicy): boolean {
  if (diagnosis.class === "local") return false;
  if (isRefusal(diagnosis) && diagnosis.class !== "5xx") return false;
  return policy.on.includes(diagnosis.class);
}

/** Pending recipients carry 4.x.x, unless they were refused for good and wait for the backup. */
function isRefusal(diagnosis: Diagnosis): boolean {
  return diagnosis.status.startsWith("5");
}
