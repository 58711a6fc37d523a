import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type QueuedSessions, startQueuedSessions } from "../support/queued-sessions.ts";
import type { SmtpClient } from "../support/smtp-client.ts";

async function start(t: TestContext, limits: object): Promise<QueuedSessions> {
  const gateway = await startQueuedSessions({ config: { limits } });
  t.after(() => gateway.close());
  return gateway;
}

async function begin(gateway: QueuedSessions): Promise<SmtpClient> {
  const client = await gateway.connect();
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<me@example.org>");
  return client;
}

/** Names `count` recipients. @returns the codes */
async function name(client: SmtpClient, count: number, local = "somebody"): Promise<string[]> {
  const lines = Array.from({ length: count }, (_, i) => `RCPT TO:<${local}${i}@example.org>\r\n`);
  client.write(lines.join(""));
  const codes: string[] = [];
  for (let i = 0; i < count; i++) codes.push((await client.reply()).slice(0, 9));
  return codes;
}

const accepted = "250 2.1.5";
const tooLarge = "452 4.3.1";

test("an envelope of long addresses gets 452 4.3.1, and what it has is delivered", async (t) => {
  const gateway = await start(t, { recipients: 20 });
  const client = await begin(gateway);
  // 512 octets each, and 20 KB for all: twice 250 characters make it 1 KB.
  const long = "x".repeat(250);
  const codes = await name(client, 20, long);
  const fit = codes.indexOf(tooLarge);
  assert.ok(fit >= 15 && fit < 20, `${fit} recipients`);
  assert.deepEqual(codes, [...Array(fit).fill(accepted), ...Array(20 - fit).fill(tooLarge)]);
  await client.command("DATA");
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^250 /);
  assert.equal(gateway.accepted[0]?.meta.envelope.recipients.length, fit);
});

test("ordinary addresses fit up to the limit of recipients", async (t) => {
  const gateway = await start(t, {});
  const codes = await name(await begin(gateway), 1000);
  assert.deepEqual(codes, Array(1000).fill(accepted));
});

for (const [how, end] of [
  ["RSET", (client: SmtpClient) => client.command("RSET")],
  [
    "a message that was accepted",
    async (client: SmtpClient) => {
      await client.command("DATA");
      client.write("Subject: x\r\n\r\nx\r\n.\r\n");
      await client.reply();
    },
  ],
  ["a reset connection", async (client: SmtpClient) => client.socket.resetAndDestroy()],
] as const) {
  test(`all envelopes of a process share limits.envelopes, and ${how} frees its part`, async (t) => {
    const gateway = await start(t, { envelopes: "64KB", recipients: 100 });
    const [first, second] = [await begin(gateway), await begin(gateway)];
    const codes = await name(first, 100);
    assert.deepEqual(codes, Array(100).fill(accepted));
    assert.equal((await name(second, 40)).filter((code) => code === tooLarge).length > 20, true);
    await second.command("RSET");
    await end(first);
    for (;;) {
      await second.command("MAIL FROM:<me@example.org>");
      const [code] = await name(second, 1, "x".repeat(200));
      const others = await name(second, 50);
      await second.command("RSET");
      if (how === "a reset connection" && gateway.sessions.active > 1) continue;
      assert.equal(code, accepted);
      assert.deepEqual(others, Array(50).fill(accepted));
      return;
    }
  });
}
