/** Stores messages in a spool, as the ingress does. */
import { randomBytes } from "node:crypto";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import type { Spool, StoredMessage } from "../../shared/spool/spool.ts";

/**
 * @param octets  the size of each body
 * @param ageMs   how long ago they were received
 */
export function storeMessages(
  spool: Spool,
  domain: string,
  count: number,
  octets: number,
  ageMs = 0,
): Promise<StoredMessage[]> {
  const body = Buffer.from(`Subject: hello\r\n\r\n${"x".repeat(octets)}\r\n`);
  return Promise.all(
    Array.from({ length: count }, async () => {
      const receivedAtMs = Date.now() - ageMs;
      const draft = spool.draft();
      await draft.write(body);
      return draft.commit({
        version: 1,
        id: makeQueueId(receivedAtMs, randomBytes(9)),
        receivedAtMs,
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
