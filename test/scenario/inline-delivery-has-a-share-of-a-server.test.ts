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

/** Inline delivery may have four of them, and one client three. */
const eightConnections = { limits: { destinations: [{ match: "*", connections: 8 }] } };

test("a client that hesitates gets three quarters of the inline connections, and another client has one at once", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {}, { config: eightConnections });
  const clients: SmtpClient[] = [];
  for (const to of ["a", "b", "c"]) clients.push(await hesitant(sessions, to));
  const waiting = send(await greeted(sessions), ["<d@example.com>"]);
  await send(await greeted(sessions, "127.0.0.2"), ["<e@example.com>"]);
  assert.deepEqual(deliveredRecipients(peer), ["e@example.com"]);
  assert.equal(peer.open, 4);
  await clients[0]?.command("RSET");
  await waiting;
  assert.deepEqual(deliveredRecipients(peer), ["e@example.com", "d@example.com"]);
  assert.deepEqual(queuedRecipients(sessions), []);
});

test("while a client's sessions keep all of its connections waiting, the mail of its other sessions is queued", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {}, { config: eightConnections });
  for (const to of ["a", "b", "c"]) await hesitant(sessions, to);
  assert.match((await send(await greeted(sessions), ["<d@example.com>"])).dot ?? "", queued);
  assert.deepEqual(queuedRecipients(sessions), ["d@example.com"]);
  assert.equal(peer.open, 3);
});

test("a client that does not hesitate delivers inline over more sessions than it has connections", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {}, { config: eightConnections });
  const clients = await Promise.all(Array.from({ length: 12 }, () => greeted(sessions)));
  await Promise.all(clients.map((client, n) => send(client, [`<${n}@example.com>`])));
  assert.equal(deliveredRecipients(peer).length, 12);
  assert.deepEqual(queuedRecipients(sessions), []);
  assert.ok(peer.connections <= 3, `${peer.connections} connections`);
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
