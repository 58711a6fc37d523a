/** How the pending recipients of a job are tried now: one leg for each next hop. A config change may split them at any attempt. */
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { AttemptHistory } from "../../shared/queue/contract/contract.ts";
import { identifyNextHop, type NextHop } from "../../shared/routing/next-hop.ts";
import type { QueuedRow } from "../../shared/routing/route.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";
import { type BackupPolicy, chooseWay } from "./backup-route.ts";
import type { Untried } from "./decide-next.ts";

/** Routing as of now, for one recipient of a message. */
export interface Router {
  route(meta: MessageMeta, recipient: number): { row: QueuedRow; nextHop: NextHop };
  /** By `relay.backup`, where it is configured. */
  backup(meta: MessageMeta, recipient: number): NextHop | undefined;
}

/** One attempt to make. */
export interface DeliveryGroup {
  row: QueuedRow;
  nextHop: NextHop;
  recipients: number[];
  /** What it does not deliver, no backup takes over: it is the backup, or there is none for it. */
  withoutBackup: boolean;
}

export interface Plan {
  groups: DeliveryGroup[];
  /** Those who wait for the backup's time. */
  untried: Map<number, Untried>;
}

/**
 * @param pending  indexes of recipients
 * @param past     since when it is tried (epoch milliseconds), and how that went
 */
export function planAttempts(
  meta: MessageMeta,
  pending: readonly number[],
  { sinceMs, history }: { sinceMs: number; history: AttemptHistory | undefined },
  router: Router,
  backup: BackupPolicy | undefined,
  nowMs: number,
): Plan {
  const untried = new Map<number, Untried>();
  const groups = new Map<string, DeliveryGroup>();
  const last = history === undefined ? undefined : lastDiagnoses(history);
  for (const recipient of pending) {
    let { row, nextHop } = router.route(meta, recipient);
    // The backup is a setting of `relay`: mail for protected servers, sent to a relay host, would come back to us.
    const other = backup === undefined || row !== "relay" ? undefined : router.backup(meta, recipient);
    const usable =
      other !== undefined && identifyNextHop(other).groupKey !== identifyNextHop(nextHop).groupKey;
    let withoutBackup = !usable;
    if (usable && last !== undefined) {
      const diagnosis = last.get(recipient);
      const way = chooseWay(diagnosis, sinceMs, backup, nowMs, isFrom(diagnosis, other));
      if (way.kind === "wait") {
        untried.set(recipient, { untilMs: way.untilMs, ...(diagnosis ? { last: diagnosis } : {}) });
        continue;
      }
      if (way.kind === "backup") {
        nextHop = other;
        withoutBackup = true;
      }
    }
    if (pending.length === 1)
      return { groups: [{ row, nextHop, recipients: [recipient], withoutBackup }], untried };
    const key = `${row} ${withoutBackup} ${identifyNextHop(nextHop).groupKey}`;
    const group = groups.get(key);
    if (group) group.recipients.push(recipient);
    else groups.set(key, { row, nextHop, recipients: [recipient], withoutBackup });
  }
  return { groups: [...groups.values()], untried };
}

/** Whether a configured host, which a backup is, is the one that the attempt went to. */
function isFrom(diagnosis: Diagnosis | undefined, nextHop: NextHop): boolean {
  const remote = diagnosis?.remote;
  if (remote === undefined) return false;
  const hosts = nextHop.kind === "relay" ? [nextHop.relay] : nextHop.kind === "host" ? [nextHop.host] : [];
  return hosts.some(({ host, port }) => host === remote.host && port === remote.port);
}

/** How each recipient's last attempt ended. */
export function lastDiagnoses(history: AttemptHistory): Map<number, Diagnosis> {
  const byRecipient = new Map<number, Diagnosis>();
  for (const { recipients, diagnosis } of history.last) {
    for (const recipient of recipients) byRecipient.set(recipient, diagnosis);
  }
  return byRecipient;
}
