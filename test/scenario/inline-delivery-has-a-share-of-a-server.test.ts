import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalLimiter } from "../../shared/limits/local-limiter.ts";
import { deliveredRecipients, greeted, queuedRecipients, send, startInlineFlow } from "../support/inline.ts";
import type { QueuedSessions } from "../support/queued-sessions.ts";
import type { SmtpClient } from "../support/smtp-client.ts";
import { outcomes, servers, summary, testTransport } from "../support/smtp-client-fixture.ts";
import { waitFor } from "../support/wait-for.ts";

const queued = /^250 2\.0\.0 Ok: queued as /;

/** A client that names a recipient and then says nothing. */
async function hesitant(sessions: QueuedSessions, to: string): Promise<SmtpClient> {
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  await client.command(`RCPT TO:<${to}@example.com>`);
  return client;
}

test("clients that keep a server waiting get half of its connections, and the queue delivers over the others", async (t) => {
  const limiter = createLocalLimiter();
  const { peer, sessions } = await startInlineFlow(
    t,
    {},
    { inline: { limiter }, config: { limits: { destinations: [{ match: "*", connections: 4 }] } } },
  );
  const transport = testTransport({
    config: { limits: { destinations: [{ match: "*", connections: 4 }] } },
    options: { limiter },
  });
  t.after(() => transport.close(0));
  for (const to of ["a", "b", "c", "d"]) await hesitant(sessions, to);
  assert.equal(peer.open, 2);
  assert.deepEqual((await outcomes(transport, servers(peer))).map(summary), ["delivered"]);
});

test("one client delivers five messages inline at once, and the mail of its further sessions is queued", async (t) => {
  const { peer, sessions } = await startInlineFlow(t);
  const clients: SmtpClient[] = [];
  for (const to of ["a", "b", "c", "d", "e"]) clients.push(await hesitant(sessions, to));
  assert.match((await send(await greeted(sessions), ["<f@example.com>"])).dot ?? "", queued);
  assert.deepEqual(queuedRecipients(sessions), ["f@example.com"]);
  assert.equal(peer.open, 5);
  await clients[0]?.command("RSET");
  await waitFor("the first transaction to end", () => peer.commands.some((line) => line.endsWith("RSET")));
  await send(await greeted(sessions), ["<g@example.com>"]);
  assert.deepEqual(deliveredRecipients(peer), ["g@example.com"]);
});

test("a client that names recipient after recipient and never sends the message loses the server's connection", async (t) => {
  let nowMs = 1_000_000;
  const { peer, sessions } = await startInlineFlow(
    t,
    {},
    { inline: { now: () => nowMs }, config: { timeouts: { inline: "10s" } } },
  );
  const client = await hesitant(sessions, "a");
  for (const to of ["b", "c", "d"]) {
    nowMs += 8000;
    assert.equal(await client.command(`RCPT TO:<${to}@example.com>`), "250 2.1.5 Ok");
  }
  await waitFor("the remote transaction to be given up", () => peer.commands.includes("1: RSET"));
  assert.ok(!peer.commands.some((line) => line.includes("<d@")), "the last one was not passed on");
  assert.match(await client.command("DATA"), /^354/);
  client.write("Subject: late\r\n\r\nHello.\r\n.\r\n");
  assert.match(await client.reply(), queued);
  assert.deepEqual(queuedRecipients(sessions).sort(), [
    "a@example.com",
    "b@example.com",
    "c@example.com",
    "d@example.com",
  ]);
});
