/** A delivery service that stops while servers think about messages that they have whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { hang, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const graceMs = 1_500;

test("a server that replies to the final dot after the grace time is heard: the message is delivered once", async (t) => {
  let accept: (() => void) | undefined;
  const remote = await startSmtpPeer({
    script: {
      mail: (address) => (address.startsWith("slow") ? hang : undefined),
      message: () =>
        new Promise((resolve) => {
          accept = () => resolve(undefined);
        }),
    },
  });
  t.after(() => remote.stop());
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*", via: `127.0.0.1:${remote.port}` }] },
    queue: { retry: ["1h"], delay_warning: 0 },
  });
  const worker = await flow.startDelivery();
  const sent = await flow.accept({ to: ["bob@example.com"] });
  await flow.accept({ to: ["carol@example.com"], reversePath: "slow@sender.example" });
  await waitFor("one message to be sent, and the other begun", () => accept && remote.open === 2);
  const closed = worker.close(graceMs);
  await waitFor("the other session to be cut at the end of the grace time", () => remote.open === 1);
  accept?.();
  await closed;
  assert.deepEqual(await flow.kinds(sent.meta.id), ["delivered"]);
  assert.deepEqual(
    remote.received.map(({ to }) => to[0]?.address),
    ["bob@example.com"],
  );
});

test("a message whose reply does not come before the end is not sent again at once: the attempt counts", async (t) => {
  const remote = await startSmtpPeer({ script: { message: () => hang } });
  t.after(() => remote.stop());
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*", via: `127.0.0.1:${remote.port}` }] },
    queue: { retry: ["1h"], delay_warning: 0 },
  });
  const worker = await flow.startDelivery();
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  await waitFor("the message to be sent", () => remote.commands.includes("1: DATA"));
  await worker.close(300);
  const deferred = flow.events.find(({ event }) => event === "delivery.deferred");
  assert.equal(deferred?.possiblyDelivered, true);
  const dueMs = Number(await score(flow.redis, `${meta.id}-0`)) / 4096;
  assert.ok(dueMs > Date.now() + 30 * 60_000, "it is due after the first wait of queue.retry");
});

/** BullMQ's delayed jobs: their time in milliseconds, times 4096. */
async function score(redis: { command(line: string): Promise<string> }, jobId: string): Promise<string> {
  const reply = await redis.command(`ZSCORE {postern}:delivery:delayed ${jobId}`);
  return reply.split("\r\n").find((line) => /^\d/.test(line)) ?? reply;
}
