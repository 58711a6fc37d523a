/** What services may do with the queues; BullMQ stays hidden behind these interfaces. */
import type { RouteSummary } from "../../routing/route.ts";
import type { StoredMessage } from "../../spool/spool.ts";
import type { AttemptHistory, BounceJob, DeliveryJob, DeliveryQueueName } from "./contract.ts";
import type { DeadJob } from "./dead-job.ts";

/**
 * What becomes of a delivery job after its handler. Expected outcomes only: a handler that throws has met a defect or a
 * dependency that is away, and its job is retried soon. Times in epoch milliseconds.
 */
export type JobNext =
  | { kind: "done" }
  /** Deferred, or waiting for a destination at its limits: due at `atMs`, in `queue`, with the history of its attempts. */
  | { kind: "later"; atMs: number; queue: DeliveryQueueName; history: AttemptHistory; route: RouteSummary }
  /** Not tried at all, and nothing new to say of it: due at `atMs`, and no attempt is counted. */
  | { kind: "postponed"; atMs: number };

export interface DeliveryTask {
  jobId: string;
  queue: DeliveryQueueName;
  job: DeliveryJob;
  /**
   * A worker may have had the job before: it was retried, restarted after a crash, or added again. Read the states
   * `fresh` then: a worker settles before its job ends.
   */
  mayHaveRun?: boolean;
  /** Aborted when the job's lock is lost or the worker must stop at once: end the attempt. */
  signal: AbortSignal;
}

/** What becomes of a bounce job after its handler. */
export type BounceNext = { kind: "done" } | { kind: "postponed"; atMs: number };

export interface BounceTask {
  jobId: string;
  job: BounceJob;
  /** As for deliveries. */
  mayHaveRun?: boolean;
  signal: AbortSignal;
}

export interface Consumer {
  /**
   * Takes no new jobs, waits for the active ones up to `graceMs`, then aborts their signals. Deliveries that cannot be cut
   * without harm have longestStopMs().
   */
  close(graceMs: number): Promise<void>;
}

/** Adds jobs. Every add is idempotent by job id. All reject within a few seconds while Redis is out of reach. */
export interface Producer {
  /**
   * Adds a job for every recipient group of every message, at once. `routes[n]` is the route of group n until its first
   * attempt. `redelivery`: an earlier add may have arrived, and a worker may have had the job.
   */
  addDeliveries(
    messages: { message: StoredMessage; routes: RouteSummary[]; redelivery?: boolean }[],
  ): Promise<void>;
  /** @param delayMs  time for further failures or delays of the message to join (`failed` and `delayed`) */
  addBounce(job: BounceJob, delayMs: number): Promise<void>;
  addDead(job: DeadJob): Promise<void>;
  close(): Promise<void>;
}

/**
 * Enqueues accepted messages in the background, in batches, and repeats until it succeeds. The reconciler enqueues
 * what it still has when the process dies: the spool is the truth.
 */
export interface Publisher {
  publish(message: StoredMessage, routes: RouteSummary[]): void;
  /** Messages accepted and not yet in Redis. */
  readonly backlog: number;
  /** Resolves when the backlog is empty or after `graceMs`. */
  close(graceMs: number): Promise<void>;
}
