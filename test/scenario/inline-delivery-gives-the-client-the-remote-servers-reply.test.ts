import assert from "node:assert/strict";
import { test } from "node:test";
import {
  deliveredRecipients,
  greeted,
  message,
  queuedRecipients,
  send,
  startInlineFlow,
} from "../support/inline.ts";
import { hang, thenClose, usualExtensions } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const events = (log: Record<string, unknown>[]) => log.map(({ event }) => event).filter(Boolean);

test("the remote server's 250 to the dot is the client's, and nothing is stored", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {
    script: { message: () => "250 2.6.0 taken as 4711" },
  });
  const client = await greeted(sessions);
  const sent = await send(client, ["<bob@example.com>"]);
  assert.deepEqual(sent.rcpt, ["250 2.1.5 Ok"]);
  assert.equal(sent.dot, "250 2.6.0 taken as 4711");
  assert.deepEqual(deliveredRecipients(peer), ["bob@example.com"]);
  assert.equal(sessions.accepted.length, 0);
  assert.equal(sessions.published.length, 0);
  assert.equal(sessions.openDrafts, 0);
  const story = sessions.log.filter(({ id }) => id !== undefined);
  assert.deepEqual(events(story), ["message.accepted", "delivery.delivered", "message.settled"]);
  assert.equal(new Set(story.map(({ id }) => id)).size, 1);
  const delivered = story[1];
  assert.equal(delivered?.inline, true);
  assert.equal(delivered?.to, "bob@example.com");
  assert.equal(delivered?.reply, "250 2.6.0 taken as 4711");
});

test("a remote server that takes no mail at all, 521 in its greeting: the client gets 556 at RCPT (RFC 7504 §4)", async (t) => {
  const { sessions } = await startInlineFlow(t, { script: { connect: () => "521 5.3.2 no mail here" } });
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  assert.equal(await client.command("RCPT TO:<bob@example.com>"), "556 5.3.2 no mail here");
});

test("our Received field comes before the message, which arrives octet for octet", async (t) => {
  const { peer, sessions } = await startInlineFlow(t);
  const client = await greeted(sessions);
  await send(client, ["<bob@example.com>"]);
  await send(client, ["<bob@example.com>", "<carol@example.com>"]);
  const [first, second] = peer.received.map(({ data }) => data.toString("latin1"));
  const id = sessions.log.find(({ event }) => event === "message.accepted")?.id;
  assert.match(
    first ?? "",
    new RegExp(`^Received: from client\\.example [^;]* id ${id}\\r\\n\\tfor <bob@example\\.com>;`),
  );
  assert.ok(first?.endsWith(`\r\n${message}`));
  // RFC 5321 §7.6: none learns of the others.
  assert.match(second ?? "", /^Received: /);
  assert.doesNotMatch(second ?? "", /for </);
});

test("with hide the remote server gets the client's name and no Received field", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {}, { entry: { hide: true } });
  await send(await greeted(sessions), ["<bob@example.com>"]);
  assert.equal(peer.received[0]?.helo, "client.example");
  assert.equal(peer.received[0]?.data.toString("latin1"), message);
});

test("a large message passes while it comes, whole and unchanged", async (t) => {
  const { peer, sessions } = await startInlineFlow(t);
  const lines = Array.from(
    { length: 60_000 },
    (_, i) => `${i % 7 === 0 ? "." : ""}line ${i} ${"x".repeat(i % 60)}`,
  );
  const text = `Subject: large\r\n\r\n${lines.join("\r\n")}\r\n`;
  const sent = await send(await greeted(sessions), ["<bob@example.com>"], text);
  assert.match(sent.dot ?? "", /^250 /);
  assert.ok(peer.received[0]?.data.toString("latin1").endsWith(`\r\n${text}`));
  assert.equal(sessions.accepted.length, 0);
});

test("the remote server's 5xx at RCPT is the client's, with its code, status and text, and for that recipient alone", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {
    script: {
      rcpt: (address) =>
        address.startsWith("no") ? "550-5.1.1 no such\n550 5.1.1 user\u0007 here" : undefined,
    },
  });
  const sent = await send(await greeted(sessions), ["<nobody@example.com>", "<bob@example.com>"]);
  assert.deepEqual(sent.rcpt, ["550-5.1.1 no such\n550 5.1.1 user  here", "250 2.1.5 Ok"]);
  assert.match(sent.dot ?? "", /^250 /);
  assert.deepEqual(deliveredRecipients(peer), ["bob@example.com"]);
  assert.equal(sessions.accepted.length, 0);
  const refused = sessions.log.find(({ event }) => event === "message.refused");
  assert.equal(refused?.reply, "550 5.1.1 no such / user  here");
});

test("when every recipient was refused, so is DATA", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, { script: { rcpt: () => "550 gone" } });
  const sent = await send(await greeted(sessions), ["<a@example.com>", "<b@example.com>"]);
  // RFC 2034 §4: a status where the remote server gave none.
  assert.deepEqual(sent.rcpt, ["550 5.0.0 gone", "550 5.0.0 gone"]);
  assert.match(sent.data, /^554 5\.5\.1 /);
  assert.equal(peer.received.length, 0);
  assert.equal(sessions.openDrafts, 0);
});

test("a sender that the remote server refuses is refused at RCPT", async (t) => {
  const { sessions } = await startInlineFlow(t, { script: { mail: () => "553 5.1.8 no such sender" } });
  const sent = await send(await greeted(sessions), ["<a@example.com>", "<b@example.com>"]);
  assert.deepEqual(sent.rcpt, ["553 5.1.8 no such sender", "553 5.1.8 no such sender"]);
});

for (const [stage, script] of [
  ["DATA", { data: () => "554 5.7.1 no spam" }],
  ["the first octets", { body: () => thenClose("554 5.7.1 no spam") }],
  ["the dot", { message: () => "554 5.7.1 no spam" }],
] as const) {
  test(`the remote server's 5xx to ${stage} is the client's reply to its dot`, async (t) => {
    const { peer, sessions } = await startInlineFlow(t, { script });
    const sent = await send(await greeted(sessions), ["<a@example.com>", "<b@example.com>"]);
    assert.equal(sent.dot, "554 5.7.1 no spam");
    assert.equal(peer.received.length, 0);
    assert.equal(sessions.accepted.length, 0);
    assert.equal(sessions.openDrafts, 0);
    const refused = sessions.log.find(({ event }) => event === "message.refused");
    assert.equal(refused?.stage, "DOT");
  });
}

test("a message that is too large for the remote server is refused with 552, by its declared size or by its own", async (t) => {
  const { sessions } = await startInlineFlow(t, { extensions: ["PIPELINING", "SIZE 1000"] });
  const client = await greeted(sessions);
  assert.match(await client.command("MAIL FROM:<me@example.org> SIZE=5000"), /^250 /);
  assert.match(await client.command("RCPT TO:<bob@example.com>"), /^552 5\.3\.4 /);
  await client.command("RSET");
  const sent = await send(client, ["<bob@example.com>"], `Subject: x\r\n\r\n${"x".repeat(2000)}\r\n`);
  assert.match(sent.dot ?? "", /^552 5\.3\.4 /);
  assert.equal(sessions.accepted.length, 0);
});

test("8-bit content that was declared is refused where the remote server does not take it, once it is there (RFC 6152 §3)", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, { extensions: ["PIPELINING"] });
  const client = await greeted(sessions);
  const mail = "<me@example.org> BODY=8BITMIME";
  const clean = await send(client, ["<bob@example.com>"], message, mail);
  assert.match(clean.dot ?? "", /^250 /);
  const dirty = await send(client, ["<bob@example.com>"], "Subject: x\r\n\r\n\u00e9\r\n", mail);
  assert.match(dirty.dot ?? "", /^554 5\.6\.3 /);
  assert.equal(peer.received.length, 1);
});

test("an international recipient is refused where the remote server has no SMTPUTF8; a recipient that another server may take is queued", async (t) => {
  const { sessions } = await startInlineFlow(t, {
    extensions: usualExtensions.filter((word) => word !== "SMTPUTF8"),
  });
  const client = await greeted(sessions);
  const sent = await send(client, ["<j\u00f6rg@example.com>"], message, "<me@example.org> SMTPUTF8");
  assert.match(sent.rcpt[0] ?? "", /^553 5\.6\.7 /);
  await client.command("RSET");
  const other = await send(client, ["<bob@example.com>"], message, "<me@example.org> SMTPUTF8");
  assert.match(other.dot ?? "", /^250 2\.0\.0 Ok: queued/);
  assert.deepEqual(queuedRecipients(sessions), ["bob@example.com"]);
});

test("parameters of the client's MAIL and RCPT pass on to a server that offers them", async (t) => {
  const { peer, sessions } = await startInlineFlow(t);
  const mail = "<me@example.org> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=QQ1";
  await send(
    await greeted(sessions),
    ["<bob@example.com> NOTIFY=SUCCESS ORCPT=rfc822;b@x.example"],
    message,
    mail,
  );
  const [got] = peer.received;
  assert.deepEqual(got?.mailParameters, ["SIZE=350", "BODY=8BITMIME", "RET=HDRS", "ENVID=QQ1"]);
  assert.deepEqual(got?.to[0]?.parameters, ["NOTIFY=SUCCESS", "ORCPT=rfc822;b@x.example"]);
  assert.equal(sessions.successReports.length, 0);
  assert.equal(sessions.accepted.length, 0);
});

test("a pipelining client gets its replies in order", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {
    script: { rcpt: (address) => (address.startsWith("no") ? "550 5.1.1 no" : undefined) },
  });
  const client = await greeted(sessions);
  client.write(
    "MAIL FROM:<me@example.org>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<no@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n",
  );
  const codes: string[] = [];
  for (let i = 0; i < 5; i++) codes.push((await client.reply()).slice(0, 3));
  assert.deepEqual(codes, ["250", "250", "550", "250", "354"]);
  client.write(
    `${message.replace(/^\./gm, "..")}.\r\nNOOP\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<c@example.com>\r\n`,
  );
  for (const code of ["250", "250", "250", "250"]) assert.equal((await client.reply()).slice(0, 3), code);
  assert.deepEqual(deliveredRecipients(peer), ["a@example.com", "b@example.com"]);
});

test("client sessions one after another share one connection to the remote server", async (t) => {
  const { peer, sessions } = await startInlineFlow(t);
  for (let i = 0; i < 3; i++) {
    const client = await greeted(sessions);
    await send(client, [`<u${i}@example.com>`]);
    await client.command("QUIT");
  }
  // A client that gave up after RCPT leaves the connection in order.
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  await client.command("RCPT TO:<gone@example.com>");
  await client.command("RSET");
  await waitFor("RSET to reach the remote server", () => peer.commands.includes("1: RSET"));
  await send(client, ["<last@example.com>"]);
  assert.equal(peer.connections, 1);
  assert.deepEqual(deliveredRecipients(peer), [
    "u0@example.com",
    "u1@example.com",
    "u2@example.com",
    "last@example.com",
  ]);
});

test("with inline: false the same mail goes to the queue", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, {}, { entry: { inline: false } });
  const sent = await send(await greeted(sessions), ["<bob@example.com>"]);
  assert.match(sent.dot ?? "", /^250 2\.0\.0 Ok: queued/);
  assert.equal(peer.connections, 0);
  assert.deepEqual(queuedRecipients(sessions), ["bob@example.com"]);
});

test("mail that an operator holds is queued", async (t) => {
  const { peer, sessions } = await startInlineFlow(
    t,
    {},
    { inline: { isHeld: ({ to }) => to === "held@example.com" } },
  );
  await send(await greeted(sessions), ["<held@example.com>", "<bob@example.com>"]);
  assert.deepEqual(queuedRecipients(sessions), ["held@example.com"]);
  assert.deepEqual(deliveredRecipients(peer), ["bob@example.com"]);
});

test("mail that the client relays through a domain's server goes inline to that server (domain-server)", async (t) => {
  const destination = { address: "127.0.0.1", port: 0 };
  const { peer, sessions } = await startInlineFlow(
    t,
    {},
    {
      connection: { direction: "incoming", destination },
      entry: { use_server_for_outgoing: true },
    },
  );
  destination.port = peer.port;
  const sent = await send(await greeted(sessions), ["<friend@elsewhere.example>"]);
  assert.match(sent.dot ?? "", /^250 2\.0\.0 queued/);
  assert.deepEqual(deliveredRecipients(peer), ["friend@elsewhere.example"]);
  assert.equal(sessions.accepted.length, 0);
});

test("a reply of several lines reaches the client line for line, a line's own status included", async (t) => {
  const { sessions } = await startInlineFlow(t, {
    script: { message: () => "550-5.7.1 Refused\n550-5.7.26 DMARC\n550 5.7.1 https://example.com/why" },
  });
  const sent = await send(await greeted(sessions), ["<bob@example.com>"]);
  assert.equal(sent.dot, "550-5.7.1 Refused\n550-5.7.26 DMARC\n550 5.7.1 https://example.com/why");
});

test("a client that resets its connection while the remote server thinks about a recipient is no error", async (t) => {
  const { peer, sessions } = await startInlineFlow(t, { script: { rcpt: () => hang } });
  const client = await greeted(sessions);
  await client.command("MAIL FROM:<me@example.org>");
  client.write("RCPT TO:<bob@example.com>\r\n");
  await waitFor("the server to be asked", () => peer.commands.some((line) => line.includes("RCPT")));
  client.socket.resetAndDestroy();
  await waitFor("the session to end", () => sessions.sessions.active === 0);
  await waitFor("the server to be left", () => peer.open === 0);
  assert.deepEqual(
    sessions.log.filter(({ level }) => level === "error"),
    [],
  );
});
