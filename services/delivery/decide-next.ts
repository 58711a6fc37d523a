/** What follows one delivery attempt: for each recipient the end or another try, for the job its next time and queue. Pure. */
import type { Config } from "../../shared/config/schema.ts";
import type { AttemptHistory, DeliveryQueueName } from "../../shared/queue/contract/contract.ts";
import {
  expiresAtMs,
  groupEqual,
  shortestWaitMs,
  waitMs,
} from "../../shared/queue/contract/retry-schedule.ts";
import type { Diagnosis, Outcome } from "../../shared/smtp/diagnosis.ts";
import { unreachable } from "../../shared/unreachable.ts";
import { type BackupPolicy, takesOver } from "./backup-route.ts";

export type RetryPolicy = Pick<
  Config["queue"],
  "retry" | "slow_after" | "expire" | "dsn_expire" | "delay_warning"
>;

export interface FinishedAttempt {
  /** From when the schedule counts: the message's acceptance, unless it was held or requeued. Epoch milliseconds. */
  sinceMs: number;
  /** The reverse-path is `<>`: no warnings, its own expiry. */
  nullSender: boolean;
  /** As of before this attempt; `undefined` for the first. */
  history: AttemptHistory | undefined;
  /** By recipient, of those that were tried. */
  outcomes: ReadonlyMap<number, Outcome>;
  /** No backup takes over failures of this attempt: it was the backup, or there is none for these recipients. */
  withoutBackup: boolean;
}

/** A recipient that is pending and was not tried this time. */
export interface Untried {
  /** When it is tried, in epoch milliseconds. */
  untilMs: number;
  /** How its last attempt ended, or what it waits for. */
  last?: Diagnosis;
  /** Its sender may now be warned of the delay. */
  warn?: true;
}

export interface NextStep {
  delivered: number[];
  /** Refused for good or expired. */
  failed: { recipient: number; diagnosis: Diagnosis }[];
  /** Absent when no recipient is left to try. */
  retry?: { atMs: number; queue: DeliveryQueueName; history: AttemptHistory };
  /** Recipients whose sender may now be warned of the delay. */
  warn: { recipient: number; diagnosis: Diagnosis }[];
}

/**
 * RFC 5321 §4.5.4.1: wait between attempts, keep trying for 4-5 days.
 *
 * An attempt is also made when the delay warning, the backup or the expiry is due, so that each of these is on time and
 * reports a fresh try.
 *
 * @param nowMs   epoch milliseconds, after the attempt
 * @param jitter  0..1
 */
export function decideNext(
  attempt: FinishedAttempt,
  policy: RetryPolicy,
  nowMs: number,
  jitter: number,
  backup?: BackupPolicy,
): NextStep {
  const step: NextStep = { delivered: [], failed: [], warn: [] };
  const pending = new Map<number, Diagnosis>();
  const { sinceMs } = attempt;
  const endMs = expiresAtMs(attempt, policy);
  const attempts = (attempt.history?.attempts ?? 0) + 1;
  const backupFromMs = backup === undefined ? Number.POSITIVE_INFINITY : sinceMs + backup.after;
  let atMs = Number.POSITIVE_INFINITY;
  let deferred = false;
  const mayUseBackup = (diagnosis: Diagnosis): boolean =>
    backup !== undefined && !attempt.withoutBackup && takesOver(diagnosis, backup);

  for (const [recipient, outcome] of attempt.outcomes) {
    switch (outcome.kind) {
      case "delivered":
        step.delivered.push(recipient);
        break;
      case "rejected":
        if (mayUseBackup(outcome.diagnosis) && Math.max(backupFromMs, nowMs) < endMs) {
          pending.set(recipient, outcome.diagnosis);
          atMs = Math.min(atMs, Math.max(backupFromMs, nowMs + shortestWaitMs));
        } else step.failed.push({ recipient, diagnosis: outcome.diagnosis });
        break;
      case "deferred":
        if (nowMs >= endMs) {
          step.failed.push({ recipient, diagnosis: expired(outcome.diagnosis, sinceMs, nowMs) });
          break;
        }
        pending.set(recipient, outcome.diagnosis);
        deferred = true;
        if (backupFromMs > nowMs && mayUseBackup(outcome.diagnosis)) {
          atMs = Math.min(atMs, backupFromMs);
        }
        break;
      default:
        unreachable(outcome);
    }
  }
  if (pending.size === 0) return step;

  if (deferred) atMs = Math.min(atMs, nowMs + waitMs(attempts, policy, jitter));
  atMs = Math.min(atMs, nextDeadlineMs(attempt, policy, nowMs));
  if (isWarningDue(attempt, policy, nowMs)) {
    step.warn = [...pending].map(([recipient, diagnosis]) => ({ recipient, diagnosis }));
  }
  step.retry = {
    atMs: Math.ceil(atMs),
    queue: attempts >= policy.slow_after ? "delivery-slow" : "delivery",
    history: { attempts, lastAttemptAtMs: nowMs, last: groupEqual(pending) },
  };
  return step;
}

/**
 * What follows where no connection may be opened, since the destination is at its limits: no attempt is counted, and the
 * recipients wait, but not beyond the time of the delay warning or of the expiry.
 * @param retryAtMs  when the destination may have room, in epoch milliseconds
 */
export function decideWait(
  waiting: Pick<FinishedAttempt, "sinceMs" | "nullSender" | "history">,
  policy: RetryPolicy,
  retryAtMs: number,
  nowMs: number,
): Pick<Untried, "untilMs" | "warn"> {
  return {
    untilMs: Math.ceil(Math.min(retryAtMs, nextDeadlineMs(waiting, policy, nowMs))),
    ...(isWarningDue(waiting, policy, nowMs) ? { warn: true } : {}),
  };
}

/** The next moment at which something other than a retry is due: the delay warning or the expiry. */
function nextDeadlineMs(
  message: Pick<FinishedAttempt, "sinceMs" | "nullSender">,
  policy: RetryPolicy,
  nowMs: number,
): number {
  const deadlines = [warningAtMs(message, policy), expiresAtMs(message, policy)];
  return Math.min(...deadlines.filter((deadlineMs) => deadlineMs > nowMs));
}

/** The first attempt after the warning's time warns; every later one sees that there was an earlier one. */
function isWarningDue(
  message: Pick<FinishedAttempt, "sinceMs" | "nullSender" | "history">,
  policy: RetryPolicy,
  nowMs: number,
): boolean {
  const atMs = warningAtMs(message, policy);
  return atMs <= nowMs && (message.history?.lastAttemptAtMs ?? message.sinceMs) < atMs;
}

/** Infinity where the sender is never warned. */
function warningAtMs(
  { sinceMs, nullSender }: Pick<FinishedAttempt, "sinceMs" | "nullSender">,
  { delay_warning }: RetryPolicy,
): number {
  return delay_warning > 0 && !nullSender ? sinceMs + delay_warning : Number.POSITIVE_INFINITY;
}

/**
 * One step for a job whose recipients went to several next hops, or were not all tried.
 * @param steps   one for each attempt; none where all recipients wait
 * @param before  the job before the attempts: its queue and history stay when only untried recipients are left
 */
export function joinSteps(
  steps: readonly NextStep[],
  untried: ReadonlyMap<number, Untried>,
  before: { queue: DeliveryQueueName; history: AttemptHistory | undefined },
  nowMs: number,
): NextStep {
  const [first] = steps;
  if (first !== undefined && steps.length === 1 && untried.size === 0) return first;
  const joined: NextStep = {
    delivered: steps.flatMap((step) => step.delivered),
    failed: steps.flatMap((step) => step.failed),
    warn: [
      ...steps.flatMap((step) => step.warn),
      ...[...untried].flatMap(([recipient, { last, warn }]) =>
        warn === true && last !== undefined ? [{ recipient, diagnosis: last }] : [],
      ),
    ],
  };
  const retries = steps.flatMap((step) => step.retry ?? []);
  if (retries.length === 0 && untried.size === 0) return joined;
  const waits = [...untried.values()].map(({ untilMs }) => Math.max(untilMs, nowMs + shortestWaitMs));
  const known = groupEqual(
    [...untried].flatMap(([recipient, { last }]) => (last === undefined ? [] : [[recipient, last] as const])),
  );
  joined.retry = {
    atMs: Math.min(...retries.map((retry) => retry.atMs), ...waits),
    queue: retries[0]?.queue ?? before.queue,
    history: {
      ...(retries[0]?.history ?? before.history ?? { attempts: 0 }),
      last: [...retries.flatMap((retry) => retry.history.last), ...known],
    },
  };
  return joined;
}

/**
 * The diagnosis of a recipient that we give up on. RFC 3463 §3.5: X.4.7 is "delivery time expired". The last
 * real reply and the server that gave it stay, so that the sender reads what went wrong and not only that it lasted.
 */
function expired(last: Diagnosis, sinceMs: number, nowMs: number): Diagnosis {
  return {
    ...last,
    status: "5.4.7",
    reason: `delivery time expired after ${describeSpan(nowMs - sinceMs)}; the last error: ${last.reason}`,
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
