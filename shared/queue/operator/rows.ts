/** What people see of a delivery job, and the filters by which they choose jobs. Pure. */
import { type DeliveryJob, deliveryJobId, type QueueName } from "../contract/contract.ts";
import type { DeadJob } from "../contract/dead-job.ts";
import { addressMatcher } from "../holds/pattern.ts";
import type { HoldRule } from "../holds/rules.ts";

export type JobStatus = "waiting" | "active" | "deferred" | "held" | "dead";

/** One job as lists show it; times are ISO 8601. */
export interface QueueRow {
  /** The job's id: the message's queue id, `-`, and the number of its part. */
  id: string;
  /** The Message-ID field; `null` when the message has none. */
  messageId: string | null;
  /** The reverse-path; empty for `<>`. */
  from: string;
  to: string[];
  route: string;
  queue: Exclude<QueueName, "bounce">;
  status: JobStatus;
  attempts: number;
  /** `null` when it is not deferred. */
  nextAttemptAt: string | null;
  receivedAt: string;
  /** Octets. */
  size: number;
  /** Why it is still here: the last diagnosis, or the reason of the hold. */
  reason: string | null;
}

/** A job with all that is known of it. */
export interface InspectedJob {
  queue: Exclude<QueueName, "bounce">;
  status: JobStatus;
  job: DeliveryJob;
  /** Epoch milliseconds; only for deferred ones. */
  dueAtMs?: number;
  /** Only for held ones, when a rule holds it. */
  hold?: HoldRule;
  /** Only for dead ones. */
  dead?: DeadJob;
}

/** All that is given must match. */
export interface JobFilter {
  /** An address or a pattern with `*`; any recipient. */
  to?: string;
  /** An address, a pattern with `*`, or `<>`. */
  from?: string;
  /** A part of the route, in any case. */
  route?: string;
  /** Received at least so long ago. */
  olderMs?: number;
  status?: JobStatus;
  /** A part of the reason, in any case. */
  error?: string;
  queue?: QueueName;
  /** The Message-ID field with its angle brackets. */
  messageId?: string;
}

export function jobIdOf({ job }: InspectedJob): string {
  return deliveryJobId(job.id, job.part);
}

export function rowOf(inspected: InspectedJob): QueueRow {
  const { job, queue, status, dueAtMs } = inspected;
  return {
    id: jobIdOf(inspected),
    messageId: job.messageId ?? null,
    from: job.from,
    to: job.to,
    route: job.route,
    queue,
    status,
    attempts: job.history?.attempts ?? 0,
    nextAttemptAt: dueAtMs === undefined ? null : new Date(dueAtMs).toISOString(),
    receivedAt: new Date(job.receivedAtMs).toISOString(),
    size: job.size,
    reason: reasonOf(inspected),
  };
}

function reasonOf({ status, job, hold, dead }: InspectedJob): string | null {
  if (dead !== undefined) return dead.reason;
  if (status === "held")
    return hold === undefined ? "held" : hold.reason || `held by ${hold.kind} ${hold.value}`;
  return job.history?.last[0]?.diagnosis.reason ?? null;
}

/** @param nowMs  epoch milliseconds, for `olderMs` */
export function jobMatcher(filter: JobFilter, nowMs: number): (inspected: InspectedJob) => boolean {
  const matchesTo = filter.to === undefined ? undefined : addressMatcher(filter.to);
  const matchesFrom = filter.from === undefined ? undefined : addressMatcher(filter.from);
  const route = filter.route?.toLowerCase();
  const error = filter.error?.toLowerCase();
  return (inspected) => {
    const { job, status, queue } = inspected;
    if (filter.status !== undefined && status !== filter.status) return false;
    if (filter.queue !== undefined && queue !== filter.queue) return false;
    if (filter.olderMs !== undefined && nowMs - job.receivedAtMs < filter.olderMs) return false;
    if (filter.messageId !== undefined && job.messageId !== filter.messageId) return false;
    if (route !== undefined && !job.route.toLowerCase().includes(route)) return false;
    if (matchesFrom && !matchesFrom(job.from)) return false;
    if (matchesTo && !job.to.some(matchesTo)) return false;
    return error === undefined || errorText(inspected).includes(error);
  };
}

/** All that went wrong, the other servers' own words included. */
function errorText(inspected: InspectedJob): string {
  const { job, dead } = inspected;
  const diagnoses = (job.history?.last ?? []).map(({ diagnosis }) => diagnosis);
  if (dead?.diagnosis) diagnoses.push(dead.diagnosis);
  const words = diagnoses.map(({ status, reason, reply }) =>
    [status, reason, reply?.code, ...(reply?.lines ?? [])].join(" "),
  );
  return [reasonOf(inspected) ?? "", ...words].join("\n").toLowerCase();
}
