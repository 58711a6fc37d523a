/** Looks a job's message up in the spool, and tells what can never be read from what cannot be read now. Decides nothing else. */
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { DeliveryTask } from "../../shared/queue/contract/queue.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import { type Spool, SpoolCorrupt } from "../../shared/spool/spool.ts";
import { isExpired, type LoadedJob, withEnvelope } from "./plan.ts";

export interface LookUpDeps {
  config: Pick<Config, "queue">;
  log: Logger;
  spool: Pick<Spool, "read" | "readMeta">;
  /** Epoch milliseconds. */
  now(): number;
}

export type LookedUp =
  | { kind: "found"; loaded: LoadedJob }
  | { kind: "gone" }
  /** No attempt can be made, now or later. */
  | { kind: "undeliverable"; error: unknown };

/** @throws what the spool throws before the job has expired; the job is then repeated */
export async function lookUp(deps: LookUpDeps, task: DeliveryTask): Promise<LookedUp> {
  const { job, jobId } = task;
  try {
    const found = await deps.spool.read(job.id, job.locator);
    if (found !== undefined)
      return { kind: "found", loaded: { ...withEnvelope(task, found.meta), body: found.body } };
    deps.log.info(
      { id: job.id, job: jobId },
      "nothing to deliver: the spool does not have the message any more",
    );
    return { kind: "gone" };
  } catch (error) {
    if (!isFinal(deps, task, error)) throw error;
    return { kind: "undeliverable", error };
  }
}

export type LookedUpEnvelope =
  | { kind: "read"; meta: MessageMeta }
  | { kind: "gone" }
  /** `recipients`: how many there are, 0 where even that is not known. */
  | { kind: "unreadable"; error: unknown; recipients: number };

/** The envelope of an undeliverable message: its sender and recipients. @throws as lookUp() */
export async function lookUpEnvelope(deps: LookUpDeps, task: DeliveryTask): Promise<LookedUpEnvelope> {
  const { job } = task;
  try {
    const meta = await deps.spool.readMeta(job.id, job.locator);
    return meta === undefined ? { kind: "gone" } : { kind: "read", meta };
  } catch (error) {
    if (!isFinal(deps, task, error)) throw error;
    const recipients = error instanceof SpoolCorrupt ? (error.recipients ?? 0) : 0;
    return { kind: "unreadable", error, recipients };
  }
}

/**
 * Whether an error that keeps a job from its first step ends the job: damage does not mend itself, and anything else is
 * repeated until the message expires, as with a server that is down.
 */
export function isFinal(
  { config, now }: Pick<LookUpDeps, "config" | "now">,
  { job, signal }: DeliveryTask,
  error: unknown,
): boolean {
  if (error instanceof SpoolCorrupt) return true;
  return !signal.aborted && isExpired(job, config.queue, now());
}
