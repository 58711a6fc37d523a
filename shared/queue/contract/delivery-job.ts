/** How a delivery job is made from a message: one job for each part. Pure. */
import type { MessageMeta } from "../../mail/message.ts";
import type { RouteSummary } from "../../routing/route.ts";
import type { StoredMessage } from "../../spool/spool.ts";
import {
  type AttemptHistory,
  type BounceJob,
  bounceJobId,
  type DeliveryJob,
  delayWarningJobId,
} from "./contract.ts";

/** One word for all jobs of a queue: it is stored with each of them. */
export const jobName = "mail";

/**
 * The options that BullMQ stores with each job. Our workers decide about retries themselves and let nothing fail;
 * should a failure slip through, BullMQ must not give up.
 */
export const jobOptions = JSON.stringify({ attempts: 1_000_000_000 });

/**
 * @param route  what the job carries until the first attempt
 * @param again  it may have been added before
 * @throws RangeError when the message has no such part
 */
export function makeDeliveryJob(
  { meta, locator }: StoredMessage,
  part: number,
  route: RouteSummary,
  again: boolean,
): DeliveryJob {
  const recipients = meta.parts[part];
  if (recipients === undefined) throw new RangeError(`message ${meta.id} has no part ${part}`);
  const job: DeliveryJob = {
    version: 1,
    id: meta.id,
    part,
    locator,
    from: meta.envelope.reversePath,
    to: recipients.map((index) => meta.envelope.recipients[index]?.address ?? ""),
    route: route.label,
    aliases: route.aliases,
    size: meta.size,
    receivedAtMs: meta.receivedAtMs,
  };
  if (meta.messageId !== undefined) job.messageId = meta.messageId;
  if (again) job.again = true;
  const history = historyOf(meta, recipients);
  if (history !== undefined) job.history = history;
  return job;
}

/** Where the attempt while the client waited was the first one: what is known of it. */
function historyOf({ tried }: MessageMeta, recipients: readonly number[]): AttemptHistory | undefined {
  const last =
    tried?.last.filter(({ recipients: [one] }) => one !== undefined && recipients.includes(one)) ?? [];
  const [first] = last;
  return first && { attempts: 1, lastAttemptAtMs: first.diagnosis.atMs, last };
}

/** The id of a bounce job: the same for the same news, so that adding is idempotent. */
export function bounceId(job: BounceJob): string {
  switch (job.kind) {
    case "failed":
      return bounceJobId(job.id);
    case "delayed":
      return delayWarningJobId(job.id);
    case "relayed":
    case "delivered":
      return `${job.id}-r${job.recipients[0]?.recipient ?? 0}-${job.kind}`;
  }
}
