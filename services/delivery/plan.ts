/** How the pending recipients of a job are tried now: one group for each next hop. A config change may split them at any attempt. Pure. */
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { AttemptHistory, DeliveryJob } from "../../shared/queue/contract/contract.ts";
import type { DeliveryTask } from "../../shared/queue/contract/queue.ts";
import { expiresAtMs, sinceMs } from "../../shared/queue/contract/retry-schedule.ts";
import { identifyNextHop, type NextHop } from "../../shared/routing/next-hop.ts";
import type { QueuedRow } from "../../shared/routing/route.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";
import type { Body } from "../../shared/spool/spool.ts";
import { type BackupPolicy, chooseRoute } from "./backup-route.ts";
import type { Untried } from "./decide-next.ts";

/** A delivery job with the envelope of its message. */
export interface LoadedEnvelope {
  task: DeliveryTask;
  meta: MessageMeta;
  /** The job's recipients, settled ones too: indexes into `envelope.recipients`. */
  recipients: readonly number[];
  /** Epoch milliseconds from which its schedule counts: its acceptance, put off by holds; or when it was requeued. */
  sinceMs: number;
}

/** A delivery job with its message. */
export interface LoadedJob extends LoadedEnvelope {
  body: Body;
}

/** Routing as of now, for one recipient of a message. */
export interface Router {
  route(meta: MessageMeta, recipient: number): { row: QueuedRow; nextHop: NextHop };
  /** By `relay.backup`, where it is configured. */
  backup(meta: MessageMeta, recipient: number): NextHop | undefined;
  /** The next hop that an operator chose; `undefined` when it names nothing any more. */
  via(meta: MessageMeta, recipient: number, via: string): NextHop | undefined;
}

/** One attempt to make. */
export interface DeliveryGroup {
  row: QueuedRow;
  nextHop: NextHop;
  recipients: number[];
  /** No backup takes over what it does not deliver: it is the backup, or there is none for it. */
  withoutBackup: boolean;
}

export interface Plan {
  groups: DeliveryGroup[];
  /** Recipients that wait for the time of the backup. */
  untried: Map<number, Untried>;
}

/** @param pending  indexes of recipients */
export function planAttempts(
  { task, meta, sinceMs }: LoadedJob,
  pending: readonly number[],
  router: Router,
  backup: BackupPolicy | undefined,
  nowMs: number,
): Plan {
  const untried = new Map<number, Untried>();
  const groups = new Map<string, DeliveryGroup>();
  const last = lastDiagnoses(task.job.history);
  for (const recipient of pending) {
    let { row, nextHop } = router.route(meta, recipient);
    // The backup is a setting of `relay`: mail for protected servers, sent to a relay host, would come back to us.
    const backupHop = backup === undefined || row !== "relay" ? undefined : router.backup(meta, recipient);
    const usable =
      backupHop !== undefined && identifyNextHop(backupHop).groupKey !== identifyNextHop(nextHop).groupKey;
    let withoutBackup = !usable;
    if (usable && last !== undefined) {
      const diagnosis = last.get(recipient);
      const choice = chooseRoute(diagnosis, sinceMs, backup, nowMs, isFrom(diagnosis, backupHop));
      if (choice.kind === "wait") {
        untried.set(recipient, { untilMs: choice.untilMs, ...(diagnosis ? { last: diagnosis } : {}) });
        continue;
      }
      if (choice.kind === "backup") {
        nextHop = backupHop;
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

/** How each recipient's last attempt ended; `undefined` before the first. */
export function lastDiagnoses(history: AttemptHistory | undefined): Map<number, Diagnosis> | undefined {
  if (history === undefined) return undefined;
  const byRecipient = new Map<number, Diagnosis>();
  for (const { recipients, diagnosis } of history.last) {
    for (const recipient of recipients) byRecipient.set(recipient, diagnosis);
  }
  return byRecipient;
}

/** @param meta  of the job's message */
export function withEnvelope(task: DeliveryTask, meta: MessageMeta): LoadedEnvelope {
  const { job } = task;
  return { task, meta, recipients: meta.parts[job.part] ?? [], sinceMs: sinceMs(job, meta.receivedAtMs) };
}

/** Whether the job's time is over, as far as the job itself knows: its message may be unreadable. */
export function isExpired(
  job: DeliveryJob,
  policy: Pick<Config["queue"], "expire" | "dsn_expire">,
  nowMs: number,
): boolean {
  const message = { sinceMs: sinceMs(job, job.receivedAtMs), nullSender: job.from === "" };
  return nowMs >= expiresAtMs(message, policy);
}

/** The moment after which no attempt follows, in epoch milliseconds. */
export function expiryMs(
  { meta, sinceMs }: LoadedEnvelope,
  policy: Pick<Config["queue"], "expire" | "dsn_expire">,
): number {
  return expiresAtMs({ sinceMs, nullSender: isNullSender(meta) }, policy);
}

export function isNullSender({ envelope }: MessageMeta): boolean {
  return envelope.reversePath === "";
}
