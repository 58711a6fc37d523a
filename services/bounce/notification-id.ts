/**
 * The queue id of a notification, which follows from what it reports. Two processes that make the same one, for example
 * since one of them was stopped while another took its job over, make one message: its jobs and its states go by the id. Its
 * shard is that of the message that it is about.
 * Pure.
 */
import { createHash } from "node:crypto";
import { makeQueueId, shardOfId } from "../../shared/mail/queue-id.ts";
import type { DsnKind, DsnRecipient } from "./dsn.ts";

/** @param originalId  the queue id of the message that it is about */
export function notificationId(
  originalId: string,
  kind: DsnKind,
  recipients: readonly DsnRecipient[],
): string {
  const hash = createHash("sha256").update(`${originalId} ${kind}`);
  let latestMs = 0;
  for (const { address, report } of recipients) {
    hash.update(`\0${address}\0${report.status}\0${report.atMs}`);
    latestMs = Math.max(latestMs, report.atMs);
  }
  return makeQueueId(latestMs, hash.digest(), shardOfId(originalId));
}
