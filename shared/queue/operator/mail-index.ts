/**
 * An index of all queued mail: what totals, groups and sorted lists need of each job, some 500 octets, so that none of
 * them reads 200,000 payloads. It is brought up to date by scans that read the payloads of new and changed jobs only;
 * index-refresher.ts runs them. Pure but for its own state.
 */
import type { Diagnosis } from "../../smtp/diagnosis.ts";
import type { OrderedPlace } from "../bullmq/all-places.ts";
import type { JobStatus, ListedQueue } from "../bullmq/job-places.ts";
import type { DeliveryJob } from "../contract/contract.ts";
import { type ReasonGroup, reasonGroupOf, reasonOf } from "./reason-group.ts";
import { errorText } from "./rows.ts";

/** What the index knows of a delivery job. Times are epoch milliseconds. */
export interface IndexedJob {
  readonly id: string;
  queue: ListedQueue;
  status: JobStatus;
  /** 0 when it is not deferred. */
  dueAtMs: number;
  /** The lowest of its queue and status is taken next. */
  order: number;
  from: string;
  to: readonly string[];
  /** The recipients' domains in lower case, each once. */
  domains: readonly string[];
  route: string;
  aliases: readonly string[];
  /** Reverse-path, recipients and Message-ID, one a line, in lower case: what a search looks at. */
  text: string;
  size: number;
  attempts: number;
  receivedAtMs: number;
  /** 0 when there was none. */
  lastAttemptAtMs: number;
  reasons: readonly ReasonGroup[];
  /** What a filter by error looks at, in lower case. */
  errorText: string;
  /** The scan that saw it last. */
  scan: number;
}

/** A payload as the index needs it; for dead jobs with the reason of the dead job. */
export interface IndexedPayload {
  job: DeliveryJob;
  dead?: { reason: string; diagnosis?: Diagnosis };
}

const notTried = reasonOf("not tried yet");
const held = reasonOf("held");
/** Texts and groups that are known at a time; jobs keep those that are forgotten here. */
const maxShared = 20_000;

export class MailIndex {
  readonly #maxJobs: number;
  readonly #jobs = new Map<string, IndexedJob>();
  /** Equal texts and groups are stored once. */
  readonly #texts = new Map<string, string>();
  readonly #groups = new Map<string, ReasonGroup>();
  readonly #lists = new Map<string, readonly string[]>();
  /** First and last time that a reason was seen, by its key. */
  readonly #seen = new Map<string, number>();
  #scan = 0;
  #skipped = 0;

  /** @param maxJobs  further jobs are counted, and not indexed */
  constructor(maxJobs: number) {
    this.#maxJobs = maxJobs;
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Jobs that the last scan found and that the index has no room for. */
  get skipped(): number {
    return this.#skipped;
  }

  values(): IterableIterator<IndexedJob> {
    return this.#jobs.values();
  }

  /** When the oldest job of each queue was received. */
  oldest(): Partial<Record<ListedQueue, number>> {
    const oldest: Partial<Record<ListedQueue, number>> = {};
    for (const { queue, receivedAtMs } of this.#jobs.values()) {
      if (receivedAtMs < (oldest[queue] ?? Number.POSITIVE_INFINITY)) oldest[queue] = receivedAtMs;
    }
    return oldest;
  }

  /** When a reason was first seen by this index. */
  firstSeenMs(reasonKey: string): number | undefined {
    return this.#seen.get(reasonKey);
  }

  beginScan(): void {
    this.#scan++;
    this.#skipped = 0;
  }

  /** A job was found. @returns whether its payload is needed: put() must follow */
  see(place: OrderedPlace): boolean {
    const { queue, status, dueAtMs = 0, order } = place;
    const known = this.#jobs.get(keyOf(place));
    if (known === undefined) {
      if (this.#jobs.size < this.#maxJobs) return true;
      this.#skipped++;
      return false;
    }
    const isUnchanged = known.queue === queue && !mayHaveBeenTried(known, status, dueAtMs);
    known.scan = this.#scan;
    known.order = order;
    if (!isUnchanged) return true;
    known.status = status;
    known.dueAtMs = dueAtMs;
    return false;
  }

  put(place: OrderedPlace, { job, dead }: IndexedPayload): void {
    const { jobId, queue, status, dueAtMs = 0, order } = place;
    const { history } = job;
    const domains = this.#domainsOf(job.to);
    this.#jobs.set(keyOf(place), {
      id: jobId,
      queue,
      status,
      dueAtMs,
      order,
      from: this.#share(job.from),
      to: job.to,
      domains,
      route: this.#share(job.route),
      aliases: this.#shareList(job.aliases ?? []),
      text: `${job.from}\n${job.to.join("\n")}\n${job.messageId ?? ""}\n`.toLowerCase(),
      size: job.size,
      attempts: history?.attempts ?? 0,
      receivedAtMs: job.receivedAtMs,
      lastAttemptAtMs: history?.lastAttemptAtMs ?? history?.last[0]?.diagnosis.atMs ?? 0,
      reasons: this.#reasonsOf(job, dead, status, domains),
      errorText: this.#share(errorText({ job, ...(dead === undefined ? {} : { dead }) })),
      scan: this.#scan,
    });
  }

  /** Its payload has changed while its place may not have: the next scan reads it again. */
  forget(jobId: string): void {
    this.#jobs.delete(jobId);
  }

  /** The payload is gone or cannot be read. */
  drop(place: OrderedPlace): void {
    this.#jobs.delete(keyOf(place));
  }

  /** Forgets the jobs that this scan has not found. */
  endScan(): void {
    for (const [key, { scan }] of this.#jobs) if (scan !== this.#scan) this.#jobs.delete(key);
  }

  #reasonsOf(
    job: DeliveryJob,
    dead: IndexedPayload["dead"],
    status: JobStatus,
    domains: readonly string[],
  ): readonly ReasonGroup[] {
    if (dead !== undefined) {
      return [
        this.#shareGroup(dead.diagnosis ? reasonGroupOf(dead.diagnosis, domains) : reasonOf(dead.reason)),
      ];
    }
    const groups = (job.history?.last ?? []).map(({ diagnosis }) => {
      const group = this.#shareGroup(reasonGroupOf(diagnosis, domains));
      const before = this.#seen.get(group.key);
      if (this.#seen.size >= maxShared) this.#seen.clear();
      if (before === undefined || diagnosis.atMs < before) this.#seen.set(group.key, diagnosis.atMs);
      return group;
    });
    if (groups.length === 0) return status === "held" ? heldOnly : notTriedOnly;
    return groups.length === 1 ? groups : [...new Set(groups)];
  }

  #shareGroup(group: ReasonGroup): ReasonGroup {
    const known = this.#groups.get(group.key);
    if (known !== undefined) return known;
    if (this.#groups.size >= maxShared) this.#groups.clear();
    this.#groups.set(group.key, group);
    return group;
  }

  #domainsOf(to: readonly string[]): readonly string[] {
    const domains = to.map((address) => this.#share(domainOf(address)));
    return this.#shareList(domains.length === 1 ? domains : [...new Set(domains)]);
  }

  #share(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= maxShared) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }

  #shareList(list: readonly string[]): readonly string[] {
    const key = list.join("\n");
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    if (this.#lists.size >= maxShared) this.#lists.clear();
    this.#lists.set(key, list);
    return list;
  }
}

const heldOnly: readonly ReasonGroup[] = [held];
const notTriedOnly: readonly ReasonGroup[] = [notTried];

/** An attempt changes the payload: it begins as active, and ends in another due time. */
function mayHaveBeenTried(
  known: Pick<IndexedJob, "status" | "dueAtMs">,
  status: JobStatus,
  dueAtMs: number,
): boolean {
  if (status === "waiting" || status === "active") return known.status === "active" && status !== "active";
  return known.status !== status || known.dueAtMs !== dueAtMs;
}

/** A job has the same id in both delivery queues, and may be in `dead` besides. */
function keyOf({ jobId, queue }: OrderedPlace): string {
  return queue === "dead" ? `dead ${jobId}` : jobId;
}

/** In lower case; an address without a domain is its own. */
function domainOf(address: string): string {
  return address.slice(address.lastIndexOf("@") + 1).toLowerCase();
}
