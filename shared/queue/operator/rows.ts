/** What operators see of a delivery job, and the filters by which they select jobs. Pure. */
import type { JobStatus, ListedQueue } from "../bullmq/job-places.ts";
import { type DeliveryJob, deliveryJobId, type QueueName } from "../contract/contract.ts";
import type { DeadJob } from "../contract/dead-job.ts";
import { addressMatcher } from "../holds/pattern.ts";
import type { HoldRule } from "../holds/rules.ts";

/** One job as lists show it: a recipient group of a message. Times are ISO 8601. */
export interface QueueRow {
  /** The job's id: the message's queue id, `-`, and the number of the recipient group. */
  id: string;
  /** The Message-ID field; `null` when the message has none. */
  messageId: string | null;
  /** The reverse-path; empty for `<>`. */
  from: string;
  to: string[];
  route: string;
  queue: ListedQueue;
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

/** A job with its place and what holds it. */
export interface InspectedJob {
  queue: ListedQueue;
  status: JobStatus;
  job: DeliveryJob;
  /** Epoch milliseconds; only for deferred ones. */
  dueAtMs?: number;
  /** Only for held ones, when a rule holds it. */
  hold?: HoldRule;
  /** Only for dead ones. */
  dead?: DeadJob;
}

/** A job matches when every given condition does. */
export interface JobFilter {
  /** An address or a pattern with `*`; any recipient. */
  to?: string;
  /** An address, a pattern with `*`, or `<>`. */
  from?: string;
  /** A substring of the route, in any case. */
  route?: string;
  /** Received at least so long ago. */
  olderMs?: number;
  status?: JobStatus;
  /** A substring of the reason or of a server's reply, in any case. */
  error?: string;
  queue?: QueueName;
  /** A substring, in any case, of an address, the Message-ID field, the job's id, the route or the reasons. */
  search?: string;
  /** The Message-ID field with its angle brackets. */
  messageId?: string;
}

export function jobIdOf({ job }: { job: Pick<DeliveryJob, "id" | "part"> }): string {
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
  if (status === "held") return reasonOfHold(hold);
  return job.history?.last[0]?.diagnosis.reason ?? null;
}

export function reasonOfHold(hold: HoldRule | undefined): string {
  return hold === undefined ? "held" : hold.reason || `held by ${hold.kind} ${hold.value}`;
}

/** @param nowMs  epoch milliseconds, for `olderMs` */
export function jobMatcher(filter: JobFilter, nowMs: number): (inspected: InspectedJob) => boolean {
  const matchesTo = filter.to === undefined ? undefined : addressMatcher(filter.to);
  const matchesFrom = filter.from === undefined ? undefined : addressMatcher(filter.from);
  const route = filter.route?.toLowerCase();
  const error = filter.error?.toLowerCase();
  const search = filter.search?.toLowerCase();
  return (inspected) => {
    const { job, status, queue } = inspected;
    if (filter.status !== undefined && status !== filter.status) return false;
    if (filter.queue !== undefined && queue !== filter.queue) return false;
    if (filter.olderMs !== undefined && nowMs - job.receivedAtMs < filter.olderMs) return false;
    if (filter.messageId !== undefined && job.messageId !== filter.messageId) return false;
    if (route !== undefined && !job.route.toLowerCase().includes(route)) return false;
    if (matchesFrom && !matchesFrom(job.from)) return false;
    if (matchesTo && !job.to.some(matchesTo)) return false;
    if (error !== undefined && !allErrorText(inspected).includes(error)) return false;
    return search === undefined || searchText(inspected).includes(search);
  };
}

function searchText(inspected: InspectedJob): string {
  const { job } = inspected;
  const words = [jobIdOf(inspected), job.from, ...job.to, job.messageId ?? "", job.route];
  return `${words.join("\n").toLowerCase()}\n${allErrorText(inspected)}`;
}

/** What errorText() says, and the reason of a hold. */
function allErrorText(inspected: InspectedJob): string {
  return `${(reasonOf(inspected) ?? "").toLowerCase()}\n${errorText(inspected)}`;
}

/** Every reason that the job has, replies of other servers included, in lower case. A hold adds its own. */
export function errorText({
  job,
  dead,
}: Pick<InspectedJob, "job"> & { dead?: Pick<DeadJob, "reason" | "diagnosis"> }): string {
  const diagnoses = (job.history?.last ?? []).map(({ diagnosis }) => diagnosis);
  if (dead?.diagnosis) diagnoses.push(dead.diagnosis);
  const words = diagnoses.map(({ status, reason, reply }) => {
    // The reason repeats a reply that is not too long.
    const said = reply?.lines.join(" ") ?? "";
    const isRepeated = reply === undefined || (reason.includes(said) && reason.includes(String(reply.code)));
    return [status, reason, ...(isRepeated ? [] : [reply?.code, said])].join(" ");
  });
  return [...(dead === undefined ? [] : [dead.reason]), ...words].join("\n").toLowerCase();
}
