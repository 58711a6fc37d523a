/** What services may do with the queues; BullMQ stays behind it. */
import type { RouteSummary } from "../../routing/route.ts";
import type { StoredMessage } from "../../spool/spool.ts";
import type { AttemptHistory, BounceJob, DeliveryJob, DeliveryQueueName } from "./contract.ts";
import type { DeadJob } from "./dead-job.ts";

/** What a handler wants to happen to its job. Expected outcomes only; a throw means a bug or a dead dependency and retries soon. */
export type JobNext =
  | { kind: "done" }
  /** Deferred: back at `atMs` (epoch milliseconds), in `queue`, with what was learned. */
  | { kind: "later"; atMs: number; queue: DeliveryQueueName; history: AttemptHistory; route: RouteSummary }
  /** Not tried at all (held, or the destination is full): back at `atMs`, nothing counted. */
  | { kind: "postponed"; atMs: number };

export interface DeliveryTask {
  jobId: string;
  queue: DeliveryQueueName;
  job: DeliveryJob;
  /**
   * The job may have been worked on before, here or elsewhere: retried, restarted after a crash, or added again.
   * Read the states `fresh` then: whoever settles does it before the job ends.
   */
  mayHaveRun?: boolean;
  /** Aborted when the job's lock is lost or the worker is told to stop at once: end the attempt. */
  signal: AbortSignal;
}

/** What a handler wants to happen to a bounce job. */
export type BounceNext = { kind: "done" } | { kind: "postponed"; atMs: number };

export interface BounceTask {
  jobId: string;
  job: BounceJob;
  /** As for deliveries. */
  mayHaveRun?: boolean;
  signal: AbortSignal;
}

export interface Consumer {
  /** Takes no new jobs, waits for the active ones up to `graceMs`, then aborts their signals. */
  close(graceMs: number): Promise<void>;
}

/** Puts jobs in. Every add is idempotent by job id. All reject within a few seconds while Redis is out of reach. */
export interface Producer {
  /**
   * Every part of every message, at once. `routes[n]` is the route of part n until its first attempt.
   * `again` when an earlier try may have arrived after all.
   */
  addDeliveries(
    messages: { message: StoredMessage; routes: RouteSummary[]; again?: boolean }[],
  ): Promise<void>;
  /** @param delayMs  time for further news of the same kind about the message to join (`failed` and `delayed`) */
  addBounce(job: BounceJob, delayMs: number): Promise<void>;
  addDead(job: DeadJob): Promise<void>;
  close(): Promise<void>;
}

/**
 * Enqueues accepted messages in the background, in batches, and repeats until it succeeds.
 * What it still holds when the process dies is found again by the keeper: the spool is the truth.
 */
export interface Publisher {
  publish(message: StoredMessage, routes: RouteSummary[]): void;
  /** Messages accepted and not yet in Redis. */
  readonly backlog: number;
  /** Resolves when the backlog is empty or after `graceMs`. */
  close(graceMs: number): Promise<void>;
}
