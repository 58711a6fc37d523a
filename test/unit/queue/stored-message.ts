/** Messages as the spool would hand them out, for tests of the queues. */
import { randomBytes } from "node:crypto";
import { makeQueueId } from "../../../shared/mail/queue-id.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { Spool, StoredMessage } from "../../../shared/spool/spool.ts";

/** @param given  `parts`: the recipient groups; one recipient in each when absent */
export function storedMessage(given: {
  from?: string;
  to?: string[];
  parts?: number[][];
  receivedAtMs?: number;
  messageId?: string;
}): StoredMessage {
  const to = given.to ?? ["joe@example.org"];
  const receivedAtMs = given.receivedAtMs ?? Date.now();
  const id = makeQueueId(receivedAtMs, randomBytes(9));
  return {
    meta: {
      version: 1,
      id,
      receivedAtMs,
      envelope: {
        reversePath: given.from ?? "ann@example.com",
        recipients: to.map((address) => ({ address })),
      },
      origin: null,
      received: "",
      messageId: given.messageId ?? `<${id}@example.com>`,
      size: 2345,
      has8bit: false,
      parts: given.parts ?? to.map((_, index) => [index]),
    },
    locator: { segment: "000000000001.seg", offset: 1_234_567, length: 2_567, checksum: 3_735_928_559 },
  };
}

export const busy: Diagnosis = {
  status: "4.2.1",
  class: "4xx",
  reason: "mx1.example.org [192.0.2.1] said: 451 4.2.1 Mailbox busy, try again later",
  reply: { code: 451, enhanced: "4.2.1", lines: ["Mailbox busy, try again later"], command: "RCPT" },
  remote: { host: "mx1.example.org", address: "192.0.2.1", port: 25 },
  atMs: 1_700_000_000_000,
};

/** Puts the message into the spool and says what became of its recipients. */
export async function accept(
  spool: Spool,
  { meta }: StoredMessage,
  states: [number, RecipientState][] = [],
): Promise<StoredMessage> {
  const draft = spool.draft();
  await draft.write(Buffer.from("Subject: hello\r\n\r\nhello\r\n"));
  const stored = await draft.commit(meta);
  await spool.settle(states.map(([recipient, state]) => ({ id: meta.id, recipients: [recipient], state })));
  return stored;
}
