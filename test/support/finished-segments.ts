/** Mail that a process which is gone has accepted: in finished segments, and in no queue. */
import { randomBytes } from "node:crypto";
import type { Recipient } from "../../shared/mail/envelope.ts";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import type { FsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import type { FsSpoolOptions } from "../../shared/spool/fs/options.ts";
import type { StoredMessage } from "../../shared/spool/spool.ts";

/**
 * Stores one message from alice@sender.example for each recipient.
 * @param before  what else the process does before it ends
 */
export async function storeInFinishedSegments(
  directory: string,
  recipients: readonly (string | Recipient)[],
  body: string,
  options: Partial<FsSpoolOptions> = {},
  before: (spool: FsSpool, stored: StoredMessage[]) => Promise<void> = async () => {},
): Promise<StoredMessage[]> {
  const spool = createFsSpool({ directory, minFreeBytes: 0, ...options });
  const stored: StoredMessage[] = [];
  for (const recipient of recipients) {
    const draft = spool.draft();
    await draft.write(Buffer.from(body));
    const message = await draft.commit({
      version: 1,
      id: makeQueueId(Date.now(), randomBytes(9)),
      receivedAtMs: Date.now(),
      envelope: {
        reversePath: "alice@sender.example",
        recipients: [typeof recipient === "string" ? { address: recipient } : recipient],
      },
      origin: null,
      received: "",
      size: body.length,
      has8bit: false,
      parts: [[0]],
    });
    stored.push(message);
  }
  await before(spool, stored);
  await spool.close();
  return stored;
}
