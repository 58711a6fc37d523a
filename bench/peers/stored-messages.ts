/** Stores messages in a spool, as the ingress does. */
import { randomBytes } from "node:crypto";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import type { Spool, StoredMessage } from "../../shared/spool/spool.ts";

/** @param octets  the size of each body */
export function storeMessages(
  spool: Spool,
  domain: string,
  count: number,
  octets: number,
): Promise<StoredMessage[]> {
  const body = Buffer.from(`Subject: hello\r\n\r\n${"x".repeat(octets)}\r\n`);
  return Promise.all(
    Array.from({ length: count }, async () => {
      const draft = spool.draft();
      await draft.write(body);
      return draft.commit({
        version: 1,
        id: makeQueueId(Date.now(), randomBytes(9)),
        receivedAtMs: Date.now(),
        envelope: {
          reversePath: "sender@bench.example.net",
          recipients: [{ address: `recipient@${domain}` }],
        },
        origin: null,
        received: "",
        size: body.length,
        has8bit: false,
        parts: [[0]],
      });
    }),
  );
}
