import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createLocalLimiter } from "../../shared/limits/local-limiter.ts";
import { makeDeliveryJob } from "../../shared/queue/contract/delivery-job.ts";
import type { Success } from "../../shared/spool/recipient-state.ts";
import type { Settlement } from "../../shared/spool/spool.ts";
import { SpoolFull, SpoolUnavailable } from "../../shared/spool/spool.ts";
import {
  deliveredRecipients,
  greeted,
  message,
  queuedRecipients,
  send,
  startInlineFlow,
} from "../support/inline.ts";
import { routeNamed } from "../support/route-named.ts";
import { outcomes, servers, summary, testTransport } from "../support/smtp-client-fixture.ts";
import {
  close,
  deaf,
  hang,
  reset,
  type SmtpScript,
  startSmtpPeer,
  thenClose,
  usualExtensions,
} from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const queued = /^250 2\.0\.0 Ok: queued as /;
const once = (answer: ReturnType<NonNullable<SmtpScript["data"]>>) => () => answer;

for (const [name, script] of [
  ["451 in the greeting", { connect: once("451 4.3.0 later") }],
  ["554 in the greeting", { connect: once("554 5.7.1 not you") }],
  ["421 in the greeting", { connect: once("421 4.3.2 going down") }],
  ["421 at EHLO", { ehlo: once("421 4.3.2 going down") }],
  ["no greeting", { connect: once(hang) }],
  ["EHLO without an answer", { ehlo: once(hang) }],
  ["451 at MAIL", { mail: once("451 4.3.0 later") }],
  ["421 at MAIL", { mail: once(thenClose("421 4.3.2 going down")) }],
  ["no answer to MAIL", { mail: once(hang) }],
  ["a connection lost at MAIL", { mail: once(reset) }],
  ["450 at RCPT", { rcpt: once("450 4.2.0 greylisted") }],
  ["552 too many at RCPT", { rcpt: once("552 5.5.3 too many") }],
  ["421 at RCPT", { rcpt: once(thenClose("421 4.3.2 going down")) }],
  ["nonsense at RCPT", { rcpt: once("354 what") }],
  ["no answer to RCPT", { rcpt: once(hang) }],
  ["a connection lost at RCPT", { rcpt: once(close) }],
  ["452 at DATA", { data: once("452 4.3.1 full") }],
  ["421 at DATA", { data: once("421 4.3.2 going down") }],
  ["no answer to DATA", { data: once(hang) }],
  ["a connection lost at DATA", { data: once(reset) }],
  ["451 in the middle of the message", { body: once(thenClose("451 4.3.0 later")) }],
  ["421 in the middle of the message", { body: once(thenClose("421 4.3.2 going down")) }],
  ["451 at the dot", { message: once("451 4.3.0 later") }],
  ["421 at the dot", { message: once(thenClose("421 4.3.2 going down")) }],
] as [string, SmtpScript][]) {
  test(`${name}: the client gets 250 from the queue, which has the message for all`, async (t) => {
    const { peer, sessions } = await startInlineFlow(
      t,
      { script },
      { config: { timeouts: { inline: "500ms" } } },
    );
    const sent = await send(await greeted(sessions), ["<a@example.com>", "<b@example.com>"]);
    assert.deepEqual(sent.rcpt, ["250 2.1.5 Ok", "250 2.1.5 Ok"]);
    assert.match(sent.dot ?? "", queued);
    assert.equal(peer.received.length, 0);
    assert.equal(sessions.accepted.length, 1);
    assert.equal(sessions.published.length, 1);
    assert.deepEqual(queuedRecipients(sessions), ["a@example.com", "b@example.com"]);
    assert.equal(sessions.accepted[0]?.body, message);
    assert.equal(sessions.openDrafts, 0);
    const deferred = sessions.log.filter(({ event }) => event === "delivery.deferred");
    assert.deepEqual(
      deferred.map(({ to, inline }) => [to, inline]),
      [
        ["a@example.com", true],
        ["b@example.com", true],
      ],
    );
    assert.equal(deferred[0]?.possiblyDelivered, undefined);
  });
}

test("a server that cannot be reached leaves the mail to the queue, and the next client does not wait for it", async (t) => {
  const gone = await startSmtpPeer();
  await gone.stop();
  const { sessions } = await startInlineFlow(t, {}, { entry: { servers: [`127.0.0.1:${gone.port}`] } });
  const client = await greeted(sessions);
  for (const to of ["<a@example.com>", "<b@example.com>"])
    assert.match((await send(client, [to])).dot ?? "", queued);
  assert.deepEqual(queuedRecipients(sessions), ["a@example.com", "b@example.com"]);
});

test("the second server takes the mail while the client waits when the first is down", async (t) => {
  const gone = await startSmtpPeer();
  await gone.stop();
  const second = await startSmtpPeer();
  t.after(() => second.stop());
  const { sessions } = await startInlineFlow(
    t,
    {},
    {
      entry: { servers: [`127.0.0.1:${gone.port}`, `127.0.0.1:${second.port}`] },
    },
  );
  await send(await greeted(sessions), ["<a@example.com>"]);
  assert.deepEqual(deliveredRecipients(second), ["a@example.com"]);
  assert.equal(sessions.accepted.length, 0);
});

for (const [name, script] of [
  ["never greets", { connect: once(hang) }],
  ["does not answer EHLO", { ehlo: once(hang) }],
] as [string, SmtpScript][]) {
  test(`the second server takes the mail while the client waits when the first ${name}`, async (t) => {
    const second = await startSmtpPeer();
    t.after(() => second.stop());
    const { peer, sessions } = await startInlineFlow(
      t,
      { script },
      {
        entry: ({ port }) => ({ servers: [`127.0.0.1:${port}`, `127.0.0.1:${second.port}`] }),
        config: { timeouts: { inline: "3s" } },
      },
    );
    await send(await greeted(sessions), ["<a@example.com>"]);
    assert.equal(peer.connections, 1);
    assert.deepEqual(deliveredRecipients(second), ["a@example.com"]);
    assert.equal(sessions.accepted.length, 0);
  });
}

test("a server that never greets is tried once: mail of the next clients goes to the queue without waiting for it", async (t) => {
  const { peer, sessions } = await startInlineFlow(
    t,
    { script: { connect: once(hang) } },
    { config: { timeouts: { inline: "500ms" } } },
  );
  for (const to of ["<a@example.com>", "<b@example.com>", "<c@example.com>"])
    assert.match((await send(await greeted(sessions), [to])).dot ?? "", queued);
  assert.equal(peer.connections, 1);
  assert.equal(queuedRecipients(sessions).length, 3);
});

test("a server that greets too slowly for a waiting client is alive for the queue, which tries it at once", async (t) => {
  // One limiter for both, as all processes of a gateway have.
  const limiter = createLocalLimiter({ deadDestinations: { firstMs: 3_600_000, maxMs: 3_600_000 } });
  const { peer, sessions } = await startInlineFlow(
    t,
    { script: { connect: () => (peer.connections === 1 ? hang : undefined) } },
    { config: { timeouts: { inline: "300ms" } }, inline: { limiter } },
  );
  const transport = testTransport({ options: { limiter } });
  t.after(() => transport.close(0));
  assert.match((await send(await greeted(sessions), ["<a@example.com>"])).dot ?? "", queued);
  assert.deepEqual((await outcomes(transport, servers(peer))).map(summary), ["delivered"]);
  await send(await greeted(sessions), ["<b@example.com>"]);
  assert.equal(queuedRecipients(sessions).length, 2, "inline delivery still leaves the mail to the queue");
});

test("a server that stops reading in the middle of a large message cannot keep the client waiting", async (t) => {
  const { peer, sessions } = await startInlineFlow(
    t,
    { script: { body: once(deaf) } },
    { config: { timeouts: { inline: "500ms" } } },
  );
  const text = `Subject: large\r\n\r\n${`${"x".repeat(998)}\r\n`.repeat(20_000)}`;
  const sent = await send(await greeted(sessions), ["<a@example.com>"], text);
  assert.match(sent.dot ?? "", queued);
  assert.equal(sessions.accepted[0]?.body.length, text.length);
  assert.equal(peer.received.length, 0);
});

test("a server lost after the dot without a reply: queued, and logged as possibly delivered", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, { script: { message: once(reset) } });
  const sent = await send(await greeted(sessions), ["<a@example.com>"]);
  assert.match(sent.dot ?? "", queued);
  assert.deepEqual(queuedRecipients(sessions), ["a@example.com"]);
  assert.equal(peer.received.length, 0);
  const deferred = sessions.log.find(({ event }) => event === "delivery.deferred");
  assert.equal(deferred?.possiblyDelivered, true);
  // The remote server may still be working on it: it is not sent again at once, and a notification can say so.
  const [last] = sessions.accepted[0]?.meta.tried?.last ?? [];
  assert.deepEqual(last?.recipients, [0]);
  assert.equal(last?.diagnosis.possiblyDelivered, true);
});

test("a client that pauses too long loses inline delivery, not its mail", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {}, { config: { timeouts: { inline: "2s" } } });
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  await client.command("RCPT TO:<a@example.com>");
  await waitFor("the remote transaction to be given up", () => peer.commands.includes("1: RSET"));
  assert.match(await client.command("DATA"), /^354/);
  client.write(`${message.replace(/^\./gm, "..")}.\r\n`);
  assert.match(await client.reply(), queued);
  assert.deepEqual(queuedRecipients(sessions), ["a@example.com"]);
  assert.equal(peer.received.length, 0);
});

test("each recipient of one transaction ends right: delivered, deferred, refused, of another next hop, held, not inline", async (t) => {
  const script: SmtpScript = {
    rcpt: (address) =>
      address.startsWith("later") ? "450 4.2.0 later" : address.startsWith("no") ? "550 5.1.1 no" : undefined,
  };
  const { peer, sessions } = await startInlineFlow(
    t,
    { script },
    {
      inline: { isHeld: ({ to }) => to.startsWith("held") },
    },
  );
  const sent = await send(await greeted(sessions), [
    "<yes@example.com>",
    "<later@example.com>",
    "<no@example.com>",
    "<friend@elsewhere.example>",
    "<held@example.com>",
    "<also@example.com>",
  ]);
  assert.deepEqual(
    sent.rcpt.map((reply) => reply.slice(0, 9)),
    ["250 2.1.5", "250 2.1.5", "550 5.1.1", "250 2.1.5", "250 2.1.5", "250 2.1.5"],
  );
  assert.match(sent.dot ?? "", queued);
  assert.deepEqual(deliveredRecipients(peer), ["yes@example.com", "also@example.com"]);
  assert.equal(sessions.accepted.length, 1);
  const meta = sessions.accepted[0]?.meta;
  // A recipient that has it is not in the record at all: nothing can try it again.
  assert.deepEqual(
    meta?.envelope.recipients.map(({ address }) => address),
    ["later@example.com", "friend@elsewhere.example", "held@example.com"],
  );
  assert.deepEqual(meta?.parts, [[0], [2], [1]]);
  // One Received field for both ways, which names no recipient, since there were several.
  assert.ok(peer.received[0]?.data.toString("latin1").startsWith(meta?.received ?? "none"));
  assert.doesNotMatch(meta?.received ?? "", /for </);
  assert.equal(sent.dot, `250 2.0.0 Ok: queued as ${meta?.id}`);
});

test("a recipient that was answered 4xx waits for the queue's next attempt, one that was not tried does not", async (t) => {
  const { sessions } = await startInlineFlow(
    t,
    { script: { rcpt: (address) => (address.startsWith("later") ? "450 4.2.0 later" : undefined) } },
    { inline: { isHeld: ({ to }) => to.startsWith("held") }, config: { queue: { retry: ["10m"] } } },
  );
  await send(await greeted(sessions), ["<later@example.com>", "<yes@example.com>", "<held@example.com>"]);
  const [stored] = sessions.published;
  assert.ok(stored);
  const { meta } = stored.message;
  // Two jobs for one next hop: each has its time.
  assert.deepEqual(meta.parts, [[0], [1]]);
  const { history } = makeDeliveryJob(stored.message, 0, routeNamed(""), false);
  assert.equal(history?.attempts, 1);
  assert.equal(history?.last[0]?.diagnosis.reply?.code, 450);
  assert.equal(makeDeliveryJob(stored.message, 1, routeNamed(""), false).history, undefined);
  const waitMs = (meta.tried?.untilMs ?? 0) - (history?.lastAttemptAtMs ?? 0);
  assert.ok(waitMs >= 9 * 60_000 && waitMs <= 11 * 60_000, `${waitMs} ms`);
});

test("of two next hops the first goes inline and the second to the queue", async (t) => {
  const second = await startSmtpPeer();
  t.after(() => second.stop());
  const first = await startSmtpPeer();
  t.after(() => first.stop());
  const { sessions } = await startInlineFlow(
    t,
    {},
    {
      config: {
        protected: [
          { domains: ["one.example"], servers: [`127.0.0.1:${first.port}`] },
          { domains: ["two.example"], servers: [`127.0.0.1:${second.port}`] },
        ],
      },
    },
  );
  const sent = await send(await greeted(sessions), ["<a@one.example>", "<b@two.example>", "<c@one.example>"]);
  assert.match(sent.dot ?? "", queued);
  assert.deepEqual(deliveredRecipients(first), ["a@one.example", "c@one.example"]);
  assert.equal(second.connections, 0);
  assert.deepEqual(queuedRecipients(sessions), ["b@two.example"]);
});

test("a 5xx to the dot with others in the queue: all are queued, and the delivery worker makes the DSN", async (t) => {
  const { sessions } = await startInlineFlow(t, { script: { message: once("554 5.7.1 no spam") } });
  const sent = await send(await greeted(sessions), ["<a@example.com>", "<friend@elsewhere.example>"]);
  assert.match(sent.dot ?? "", queued);
  assert.deepEqual(queuedRecipients(sessions), ["a@example.com", "friend@elsewhere.example"]);
});

test("a full destination leaves the mail to the queue", async (t) => {
  const { peer, sessions } = await startInlineFlow(
    t,
    {},
    {
      config: { limits: { destinations: [{ match: "*", connections: 1 }] } },
    },
  );
  const holder = await greeted(sessions);
  await holder.command("MAIL FROM:<me@example.org>");
  await holder.command("RCPT TO:<slow@example.com>");
  const sent = await send(await greeted(sessions), ["<a@example.com>"]);
  assert.match(sent.dot ?? "", queued);
  assert.equal(peer.connections, 1);
  assert.deepEqual(queuedRecipients(sessions), ["a@example.com"]);
});

test("a storage failure does not matter where the remote server takes the message; where it does not, the client gets 451", async (t) => {
  let reply = "250 2.0.0 taken";
  const { peer, sessions } = await startInlineFlow(t, { script: { message: () => reply } });
  sessions.faults.onWrite = () => Promise.reject(new SpoolUnavailable("the disk is gone"));
  const client = await greeted(sessions);
  assert.equal((await send(client, ["<a@example.com>"])).dot, "250 2.0.0 taken");
  reply = "451 4.3.0 later";
  assert.match((await send(client, ["<b@example.com>"])).dot ?? "", /^451 4\.3\.0 /);
  assert.deepEqual(deliveredRecipients(peer), ["a@example.com"]);
  assert.equal(sessions.openDrafts, 0);
});

test("storage that failed before the dot, with others in the queue: no recipient gets the message, however often it is sent", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {}, { config: { timeouts: { inline: "1h" } } });
  const client = await greeted(sessions);
  for (const error of [new SpoolFull("full"), new SpoolUnavailable("the disk is gone")]) {
    sessions.faults.onWrite = () => Promise.reject(error);
    const sent = await send(client, ["<a@example.com>", "<friend@elsewhere.example>"]);
    assert.match(sent.dot ?? "", error instanceof SpoolFull ? /^452 4\.3\.1 / : /^451 4\.3\.0 /);
  }
  await waitFor("the remote connections to end", () => peer.open === 0);
  assert.equal(peer.received.length, 0);
  assert.equal(sessions.accepted.length, 0);
  assert.equal(sessions.openDrafts, 0);
});

test("the record that is stored for the rest must be stored: a commit that fails is 451 for the whole transaction", async (t) => {
  const { sessions } = await startInlineFlow(t);
  sessions.faults.onCommit = () => Promise.reject(new SpoolUnavailable("the disk is gone"));
  const sent = await send(await greeted(sessions), ["<a@example.com>", "<friend@elsewhere.example>"]);
  assert.match(sent.dot ?? "", /^451 4\.3\.0 /);
  assert.equal(sessions.accepted.length, 0);
});

test("the remote server never gets the whole of a message that we refuse: a bare newline, a message too large for us", async (t) => {
  const { peer, sessions } = await startInlineFlow(
    t,
    {},
    { config: { limits: { message: "1KB" }, timeouts: { inline: "1h" } } },
  );
  const client = await greeted(sessions);
  const smuggled = await send(client, ["<a@example.com>"], "Subject: x\r\n\r\nx\n.\nMAIL FROM:<x@x>\r\n");
  assert.match(smuggled.dot ?? "", /^550 5\.6\.11 /);
  const large = await send(client, ["<a@example.com>"], `Subject: x\r\n\r\n${"x".repeat(3000)}\r\n`);
  assert.match(large.dot ?? "", /^552 5\.3\.4 /);
  await waitFor("the remote connections to end", () => peer.open === 0);
  assert.equal(peer.received.length, 0);
  assert.equal(sessions.accepted.length, 0);
});

test("a client that disconnects in the middle of its message leaves nothing behind", async (t) => {
  const { peer, sessions } = await startInlineFlow(t);
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  await client.command("RCPT TO:<a@example.com>");
  await client.command("DATA");
  client.write("Subject: half\r\n\r\nof a mess");
  await waitFor("DATA to reach the remote server", () => peer.commands.includes("1: DATA"));
  client.close();
  await waitFor("the remote connection to end", () => peer.open === 0);
  assert.equal(peer.received.length, 0);
  assert.equal(sessions.openDrafts, 0);
});

test("a client that disconnects while the remote server is asked about its recipient leaves nothing behind", async (t) => {
  const config = { timeouts: { inline: "2s" } };
  const { peer, sessions } = await startInlineFlow(t, { script: { rcpt: once(hang) } }, { config });
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  client.write("RCPT TO:<a@example.com>\r\n");
  await waitFor("RCPT to reach the remote server", () => peer.commands.some((line) => line.includes("RCPT")));
  client.close();
  await waitFor("the remote connection to end", () => peer.open === 0);
  await waitFor("the session to end", () => sessions.sessions.active === 0);
});

/** The remote server has the whole message, and does not reply to its dot until `say` is called. */
async function untilRemoteHasMessage(t: TestContext) {
  let answer: ((reply: string) => void) | undefined;
  const { peer, sessions } = await startInlineFlow(t, {
    script: {
      message: () =>
        new Promise<string>((resolve) => {
          answer = resolve;
        }),
    },
  });
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  await client.command("RCPT TO:<a@example.com>");
  await client.command("DATA");
  client.write(`${message}.\r\n`);
  const say = await waitFor("the message to arrive", () => answer);
  return { peer, sessions, client, say };
}

for (const isReset of [true, false]) {
  const name = isReset
    ? "a client that disconnects before the remote server's 451 keeps its message: it is not queued as well"
    : "a client that only closes its side gets the reply that its message is queued after a 451";
  test(name, async (t) => {
    const { sessions, client, say } = await untilRemoteHasMessage(t);
    if (isReset) {
      client.socket.resetAndDestroy();
      await waitFor("the session to see it", () => sessions.closedSockets === 1);
    } else client.socket.end();
    say("451 4.3.0 later");
    if (isReset) {
      const refused = await waitFor("the log line", () =>
        sessions.log.find(({ event }) => event === "message.refused"),
      );
      assert.match(String(refused.reply), /^451 4\.4\.2 /);
    } else assert.match(await client.reply(), queued);
    assert.deepEqual(queuedRecipients(sessions), isReset ? [] : ["a@example.com"]);
    assert.equal(sessions.openDrafts, 0);
  });
}

test("a client that is gone before its 250: delivered all the same, and logged as unheard", async (t) => {
  const { peer, sessions, client, say } = await untilRemoteHasMessage(t);
  client.socket.resetAndDestroy();
  await waitFor("the session to see it", () => sessions.closedSockets === 1);
  say("250 2.0.0 taken");
  const accepted = await waitFor("the log line", () =>
    sessions.log.find(({ event }) => event === "message.accepted"),
  );
  assert.equal(accepted.unheard, true);
  assert.deepEqual(deliveredRecipients(peer), ["a@example.com"]);
  assert.equal(sessions.accepted.length, 0);
});

/** The report of inline delivery that a record says is pending. */
function successOf(record: { settles?: Settlement | undefined } | undefined): Success | undefined {
  const state = record?.settles?.state;
  return state?.kind === "delivered" ? state.success : undefined;
}

test("SUCCESS that the remote server does not report: recorded as delivered, and a report is published (RFC 3461 §5.2)", async (t) => {
  const { sessions } = await startInlineFlow(t, {
    extensions: usualExtensions.filter((word) => word !== "DSN"),
    script: { message: once("250 2.0.0 taken") },
  });
  const client = await greeted(sessions);
  const sent = await send(client, ["<a@example.com> NOTIFY=SUCCESS", "<b@example.com>"]);
  assert.equal(sent.dot, "250 2.0.0 taken");
  const [record] = sessions.accepted;
  assert.deepEqual(record?.meta.envelope.recipients, [{ address: "a@example.com", notify: ["SUCCESS"] }]);
  // It is in no recipient group, and settled by the record itself: nothing can try it again.
  assert.deepEqual(record?.meta.parts, []);
  assert.deepEqual(record?.settles?.recipients, [0]);
  // That a report is pending is recorded, too.
  assert.equal(successOf(record)?.kind, "delivered");
  assert.equal(sessions.published.length, 0);
  const [reported] = sessions.successReports;
  assert.equal(reported?.meta.id, record?.meta.id);
  // The null sender gets no report (RFC 5321 §4.5.5).
  await send(client, ["<a@example.com> NOTIFY=SUCCESS"], message, "<>");
  assert.equal(sessions.successReports.length, 1);
});

test("SUCCESS through a domain's server that passes the mail on and does not report: relayed, not delivered (RFC 3464 §2.3.3)", async (t) => {
  const destination = { address: "127.0.0.1", port: 0 };
  const { peer, sessions } = await startInlineFlow(
    t,
    { extensions: ["PIPELINING"] },
    { connection: { direction: "incoming", destination }, entry: { use_server_for_outgoing: true } },
  );
  destination.port = peer.port;
  await send(await greeted(sessions), ["<friend@elsewhere.example> NOTIFY=SUCCESS"]);
  // RFC 3461 §5.2.2 (a): a server that does not offer DSN gets no NOTIFY.
  assert.deepEqual(peer.received[0]?.to, [{ address: "friend@elsewhere.example", parameters: [] }]);
  assert.deepEqual(
    sessions.accepted.map((record) => successOf(record)?.kind),
    ["relayed"],
  );
  assert.equal(sessions.successReports.length, 1);
});

test("SUCCESS beside a queued recipient: one record for both, one report", async (t) => {
  const { sessions } = await startInlineFlow(t, { extensions: ["PIPELINING"] });
  await send(await greeted(sessions), ["<a@example.com> NOTIFY=SUCCESS", "<friend@elsewhere.example>"]);
  const [record] = sessions.accepted;
  assert.deepEqual(
    record?.meta.envelope.recipients.map(({ address }) => address),
    ["friend@elsewhere.example", "a@example.com"],
  );
  assert.deepEqual(record?.meta.parts, [[0]]);
  assert.deepEqual(record?.settles?.recipients, [1]);
  assert.equal(successOf(record)?.kind, "delivered");
  assert.deepEqual(
    sessions.successReports.map(({ meta }) => meta.id),
    [record?.meta.id],
  );
});

test("a server without PIPELINING gets one command at a time", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, { extensions: [] });
  const sent = await send(await greeted(sessions), ["<a@example.com>", "<b@example.com>"]);
  assert.match(sent.dot ?? "", /^250 2\.0\.0 queued/);
  assert.equal(peer.mostUnread, 0);
  assert.deepEqual(deliveredRecipients(peer), ["a@example.com", "b@example.com"]);
});
