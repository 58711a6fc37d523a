/** When `relay.backup` takes over: a decision by the class of the last failure and the age of the message. Pure. */
import type { Config } from "../../shared/config/schema.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";

export type BackupPolicy = Pick<NonNullable<Config["relay"]["backup"]>, "after" | "on">;

/** Which route the next attempt for a recipient takes. */
export type RouteChoice =
  /** Its own route. */
  | { kind: "own" }
  | { kind: "backup" }
  /** A server on its own route refused it for good, and the time of the backup has not come yet. */
  | { kind: "wait"; untilMs: number };

const ownRoute: RouteChoice = { kind: "own" };
const backupRoute: RouteChoice = { kind: "backup" };

/**
 * The last diagnosis in the job's history and the age of the message are all that it needs.
 * @param last          how the recipient's last attempt ended; `undefined` before the first
 * @param wasByBackup   that attempt was the backup's
 */
export function chooseRoute(
  last: Diagnosis | undefined,
  sinceMs: number,
  policy: BackupPolicy | undefined,
  nowMs: number,
  wasByBackup = false,
): RouteChoice {
  // The two alternate, since either may work again. Not with 5xx: its own route may have refused the mail for good.
  if (wasByBackup && policy?.on.includes("5xx") !== true) return ownRoute;
  if (policy === undefined || last === undefined || !takesOver(last, policy)) return ownRoute;
  const fromMs = sinceMs + policy.after;
  if (nowMs >= fromMs) return backupRoute;
  // RFC 5321 §4.2.1: what a 5xx refused is not tried unchanged again.
  return isRefusal(last) ? { kind: "wait", untilMs: fromMs } : ownRoute;
}

/**
 * Whether a failure is of a class that the backup is for. A definite refusal that no server spoke (no such domain,
 * a null MX, MX records that REQUIRETLS may not trust) is none: the sender should be notified at once.
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
