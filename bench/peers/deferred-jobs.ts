/** Deferred messages of many destinations and reasons, written straight to the queue: no worker defers them one by one. */
import { randomBytes } from "node:crypto";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import { addJobs } from "../../shared/queue/bullmq/jobs.ts";
import { deliveryJobId } from "../../shared/queue/contract/contract.ts";
import { queuePrefix, type RedisConnection } from "../../shared/runtime/redis.ts";

const hourMs = 3_600_000;
const replies: [code: number, status: string, words: string][] = [
  [450, "4.2.1", "Mailbox of N is full, N octets over quota"],
  [451, "4.7.1", "Greylisted, come back in N seconds"],
  [421, "4.7.0", "Too many connections from 192.0.2.7, try later (id qN7a3)"],
  [452, "4.3.1", "Insufficient system storage"],
];

/** @param count  of messages, due within five hours, received within the last two days */
export async function addDeferredJobs(redis: RedisConnection, count: number): Promise<void> {
  for (let start = 0; start < count; start += 1_000) {
    const jobs = Array.from({ length: Math.min(1_000, count - start) }, (_, n) => deferredJob(start + n));
    await addJobs({ prefix: queuePrefix, redis }, "delivery", jobs);
  }
}

function deferredJob(n: number) {
  const nowMs = Date.now();
  const receivedAtMs = nowMs - Math.floor(Math.random() * 48 * hourMs);
  const id = makeQueueId(receivedAtMs, randomBytes(9));
  const domain = `d${n % 500}.example`;
  const [code, enhanced, words] = replies[n % replies.length] ?? [450, "4.2.1", "busy"];
  const line = `${words.replaceAll("N", String(n))}${n % 10 === 0 ? ` at host ${"abcdefghij"[(n / 10) % 10]}` : ""}`;
  const remote = { host: `mx${n % 4}.${domain}`, address: "192.0.2.25", port: 25 };
  const diagnosis = {
    status: enhanced,
    class: "4xx",
    reason: `${remote.host} [${remote.address}] said: ${code} ${enhanced} ${line} (in reply to RCPT TO)`,
    reply: { code, enhanced, lines: [line], command: "RCPT" },
    remote,
    atMs: nowMs - 60_000,
  };
  const payload = {
    version: 1,
    id,
    part: 0,
    locator: { segment: "000000000001.seg", offset: 0, length: 2_000, checksum: 1 },
    from: `sender${n % 1_000}@example.com`,
    to: [`recipient${n}@${domain}`],
    messageId: `<${id}@example.com>`,
    route: `relay via mx ${domain}`,
    aliases: [domain],
    size: 2_000 + (n % 5_000),
    receivedAtMs,
    history: {
      attempts: 1 + (n % 7),
      lastAttemptAtMs: diagnosis.atMs,
      last: [{ recipients: [0], diagnosis }],
    },
  };
  // Few different delays: jobs of the same one are added together.
  return { jobId: deliveryJobId(id, 0), payload, delayMs: (1 + (n % 5)) * hourMs };
}
