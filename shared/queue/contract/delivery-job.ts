/** How a delivery job is made from a message, one for each recipient group, and the ids of bounce jobs. Pure. */
import type { MessageMeta } from "../../mail/message.ts";
import type { RouteSummary } from "../../routing/route.ts";
import type { Locator, StoredMessage } from "../../spool/spool.ts";
import {
  type AttemptHistory,
  type BounceJob,
  bounceJobId,
  type DeliveryJob,
  delayWarningJobId,
  successReportJobId,
} from "./contract.ts";

/**
 * @param group       number of the recipient group
 * @param route       what the job carries until the first attempt
 * @param redelivery  a worker may have had an earlier job of the group
 * @throws RangeError when the message has no such group
 */
export function makeDeliveryJob(
  { meta, locator }: StoredMessage,
  group: number,
  route: RouteSummary,
  redelivery: boolean,
): DeliveryJob {
  const recipients = meta.parts[group];
  if (recipients === undefined) throw new RangeError(`message ${meta.id} has no recipient group ${group}`);
  const job: DeliveryJob = {
    version: 1,
    id: meta.id,
    part: group,
    locator,
    from: meta.envelope.reversePath,
    to: recipients.map((index) => meta.envelope.recipients[index]?.address ?? ""),
    route: route.label,
    aliases: route.aliases,
    size: meta.size,
    receivedAtMs: meta.receivedAtMs,
  };
  if (meta.messageId !== undefined) job.messageId = meta.messageId;
  if (redelivery) job.again = true;
  const history = historyOf(meta, recipients);
  if (history !== undefined) job.history = history;
  return job;
}

/** The history of a message that was tried inline, while its client waited: that was the first attempt. */
function historyOf({ tried }: MessageMeta, recipients: readonly number[]): AttemptHistory | undefined {
  const last =
    tried?.last.filter(({ recipients: [one] }) => one !== undefined && recipients.includes(one)) ?? [];
  const [first] = last;
  return first && { attempts: 1, lastAttemptAtMs: first.diagnosis.atMs, last };
}

/** The kinds of bounce jobs that all recipients of a message share. */
export type SharedReport = "failed" | "delayed" | "succeeded";

/** The job for a report that the spool's states say is pending. */
export function sharedBounce(kind: SharedReport, id: string, locator: Locator): BounceJob {
  return kind === "succeeded" ? { version: 2, kind, id, locator } : { version: 1, kind, id, locator };
}

/** How long such a job waits for more failures or delays; successes are reported at once. @param windowMs  `dsn.wave` */
export function reportDelayMs(kind: SharedReport, windowMs: number): number {
  return kind === "succeeded" ? 0 : windowMs;
}

/** The id of a bounce job: the same for the same report, so that adding is idempotent. */
export function bounceId(job: BounceJob): string {
  switch (job.kind) {
    case "failed":
      return bounceJobId(job.id);
    case "delayed":
      return delayWarningJobId(job.id);
    case "succeeded":
      return successReportJobId(job.id);
    case "relayed":
    case "delivered":
      return `${job.id}-r${job.recipients[0]?.recipient ?? 0}-${job.kind}`;
  }
}
