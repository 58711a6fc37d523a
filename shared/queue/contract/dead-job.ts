/** Dead jobs: mail that could be neither delivered nor returned. They wait in the queue `dead` for an operator. Pure. */
import { z } from "zod";
import type { RouteSummary } from "../../routing/route.ts";
import { type Diagnosis, diagnosisSchema } from "../../smtp/diagnosis.ts";

import type { StoredMessage } from "../../spool/spool.ts";
import { type BounceJob, type DeliveryJob, deliveryJobId, deliveryJobSchema } from "./contract.ts";
import { makeDeliveryJob } from "./delivery-job.ts";

const deadJobSchema = z.object({
  version: z.literal(1),
  job: deliveryJobSchema,
  reason: z.string(),
  diagnosis: diagnosisSchema.optional(),
  deadAtMs: z.number(),
});
/** A delivery job that ended, and why. `diagnosis` is absent where no server and no rule of ours gave one. */
export type DeadJob = Omit<z.infer<typeof deadJobSchema>, "job" | "diagnosis"> & {
  job: DeliveryJob;
  diagnosis?: Diagnosis;
};

/** Why a job is dead; `atMs` in epoch milliseconds. The spool's `dead` state of a recipient is one. */
export interface CauseOfDeath {
  diagnosis: Diagnosis;
  atMs: number;
}

/** The id of a dead job: that of its delivery job, which no longer exists by then. */
export function deadJobId({ job }: Pick<DeadJob, "job">): string {
  return deliveryJobId(job.id, job.part);
}

/** The dead job after the last attempt: its history counts that attempt, so that operators see how many there were. */
export function deadAfterAttempt(job: DeliveryJob, { diagnosis, atMs }: CauseOfDeath): DeadJob {
  const { attempts, last } = job.history ?? { attempts: 0, last: [] };
  const history = { ...job.history, last, attempts: attempts + 1, lastAttemptAtMs: diagnosis.atMs };
  return makeDead({ ...job, history }, diagnosis.reason, atMs, diagnosis);
}

/**
 * The dead job of a recipient group, made from the message, where its delivery job is not at hand.
 * @param group   number of the recipient group
 * @param route   what the job carries of its route
 * @param reason  why it is dead, where the diagnosis does not say so
 */
export function deadFromMessage(
  message: StoredMessage,
  group: number,
  route: RouteSummary,
  { diagnosis, atMs }: CauseOfDeath,
  reason = diagnosis.reason,
): DeadJob {
  return makeDead(makeDeliveryJob(message, group, route, true), reason, atMs, diagnosis);
}

/** The dead job of a message whose record in the spool cannot be read. */
export function deadUnreadable(job: DeliveryJob, reason: string, nowMs: number): DeadJob {
  return makeDead(job, reason, nowMs);
}

/** As deadUnreadable(), where no delivery job is left: no more of the message is known than its id. */
export function deadUnreadableBounce(
  { id, locator }: Pick<BounceJob, "id" | "locator">,
  reason: string,
  nowMs: number,
): DeadJob {
  const unknown = { from: "", to: [], route: "", size: 0, receivedAtMs: nowMs };
  return makeDead({ version: 1, id, part: 0, locator, ...unknown }, reason, nowMs);
}

/** @returns `undefined` when the payload is not that of a dead job */
export function parseDeadJob(payload: unknown): DeadJob | undefined {
  const parsed = deadJobSchema.safeParse(payload);
  return parsed.success ? (parsed.data as DeadJob) : undefined;
}

/** The delivery job of a dead one that an operator requeues: a new schedule, whose time to expire counts from now. */
export function requeuedJob({ job }: Pick<DeadJob, "job">, nowMs: number): DeliveryJob {
  const { history: _, heldMs: __, ...rest } = job;
  return { ...rest, again: true, revivedAtMs: nowMs };
}

function makeDead(job: DeliveryJob, reason: string, deadAtMs: number, diagnosis?: Diagnosis): DeadJob {
  return { version: 1, job, reason, ...(diagnosis === undefined ? {} : { diagnosis }), deadAtMs };
}
