import assert from "node:assert/strict";
import { test } from "node:test";
import { openData, startQueuedSessions } from "../support/queued-sessions.ts";
import { waitFor } from "../support/wait-for.ts";

test("envelope and body are what the client sent, and Received is true", async (t) => {
  const gateway = await startQueuedSessions({
    client: "2001:db8::7",
    config: { relay: { clients: ["::/0"] } },
  });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await client.command("EHLO Client.Example");
  await client.command('MAIL FROM:<"odd sender"@Example.ORG> RET=HDRS ENVID=id+2B1 BODY=8BITMIME SIZE=50');
  await client.command("RCPT TO:<Friend@Example.org> NOTIFY=NEVER ORCPT=rfc822;Old+2Bfriend@example.org");
  await client.command("DATA");
  client.write(
    Buffer.from("Message-ID: <m1@example.org>\r\nSubject: gr\xfc\xdfe\r\n\r\n..dots\r\n.\r\n", "latin1"),
  );
  const reply = await client.reply();
  const [message] = gateway.accepted;
  assert.ok(message);
  const { meta, body } = message;
  assert.equal(reply, `250 2.0.0 Ok: queued as ${meta.id}`);
  assert.equal(body, "Message-ID: <m1@example.org>\r\nSubject: gr\xfc\xdfe\r\n\r\n.dots\r\n");
  assert.deepEqual(meta.envelope, {
    reversePath: '"odd sender"@Example.ORG',
    recipients: [{ address: "Friend@Example.org", notify: [], orcpt: "rfc822;Old+friend@example.org" }],
    body: "8BITMIME",
    ret: "HDRS",
    envid: "id+1",
  });
  assert.equal(meta.messageId, "<m1@example.org>");
  assert.equal(meta.size, Buffer.byteLength(body, "latin1"));
  assert.equal(meta.has8bit, true);
  assert.deepEqual(meta.parts, [[0]]);
  assert.equal(meta.origin?.helo, "Client.Example");
  assert.equal(meta.origin?.protocol, "ESMTP");
  assert.match(
    meta.received,
    /^Received: from Client\.Example \(\[IPv6:2001:db8::7\]\)\r\n\tby gw\.example\.net \(Postern\) with ESMTP id \w{18}\r\n\tfor <Friend@Example\.org>;\r\n\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n$/,
  );
  assert.deepEqual(gateway.published, [
    {
      message: { meta, locator: { segment: "memory", offset: 0, length: meta.size, checksum: 0 } },
      routes: ["relay via mx example.org"],
    },
  ]);
  const logged = gateway.log.find(({ event }) => event === "message.accepted");
  assert.equal(logged?.id, meta.id);
  assert.equal(logged?.client, "2001:db8::7");
  assert.deepEqual(logged?.rows, ["relay"]);
});

test("recipients of one next hop share a job, the same recipient is kept once", async (t) => {
  const gateway = await startQueuedSessions({
    config: { protected: [{ domains: ["example.com"], servers: ["127.0.0.9:25"] }] },
  });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await client.command("HELO client.example");
  await client.command("MAIL FROM:<me@example.org>");
  for (const recipient of [
    "a@example.org",
    "b@example.com",
    "a@example.org",
    "c@EXAMPLE.ORG",
    "d@example.com",
  ])
    assert.match(await client.command(`RCPT TO:<${recipient}>`), /^250 2\.1\.5 /);
  await client.command("DATA");
  client.write("\r\nhi\r\n.\r\n");
  await client.reply();
  const [message] = gateway.accepted;
  assert.deepEqual(
    message?.meta.envelope.recipients.map(({ address }) => address),
    ["a@example.org", "b@example.com", "c@EXAMPLE.ORG", "d@example.com"],
  );
  assert.deepEqual(message?.meta.parts, [
    [0, 2],
    [1, 3],
  ]);
  assert.match(
    message?.meta.received ?? "",
    /with SMTP id \w+;\r\n/,
    "no recipient is named, and HELO is SMTP",
  );
});

test("one session carries many messages", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  for (let i = 0; i < 3; i++) {
    await openData(client, `user${i}@example.org`);
    client.write(`Subject: ${i}\r\n\r\n.\r\n`);
    assert.match(await client.reply(), /^250 2\.0\.0 /);
  }
  assert.equal(gateway.accepted.length, 3);
  await client.command("QUIT");
  await client.untilClosed();
  const closed = await waitFor("the session to be logged", () =>
    gateway.log.find(({ event }) => event === "session.close"),
  );
  assert.equal(closed.accepted, 3);
});

test("a message over the limit is read to its end and refused", async (t) => {
  const gateway = await startQueuedSessions({ config: { limits: { message: "1KB" } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  client.write(`${`${"x".repeat(98)}\r\n`.repeat(11)}.\r\nNOOP\r\n`);
  assert.match(await client.reply(), /^552 5\.3\.4 /);
  assert.match(await client.reply(), /^250 /);
  await openData(client);
  client.write(`${"x".repeat(1022)}\r\n.\r\n`);
  assert.match(await client.reply(), /^250 /, "exactly the limit is no more than the limit");
  assert.equal(gateway.openDrafts, 0);
});

test("a message very far over the limit ends the session", async (t) => {
  const gateway = await startQueuedSessions({ config: { limits: { message: "1KB" } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  const block = Buffer.alloc(1024 * 1024, "x");
  for (let i = 0; i < 70 && !client.socket.destroyed; i++)
    await new Promise((resolve) => client.socket.write(block, resolve));
  assert.match(await client.untilClosed(), /^552 5\.3\.4 /);
  assert.equal(gateway.openDrafts, 0);
});

test("a message that loops is refused", async (t) => {
  const gateway = await startQueuedSessions({ config: { limits: { hops: 3 } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  client.write(`${"Received: from a\r\n\tby b\r\n".repeat(4)}\r\n.\r\n`);
  assert.match(await client.reply(), /^554 5\.4\.6 /);
  await openData(client);
  client.write(`${"Received: from a\r\n\tby b\r\n".repeat(3)}\r\nReceived: in the body\r\n.\r\n`);
  assert.match(await client.reply(), /^250 /);
});

for (const [name, data] of [
  ["bare LF", "a\nb\r\n"],
  ["bare CR", "a\rb\r\n"],
  ["NUL", "a\0b\r\n"],
] as const)
  test(`a message with a ${name} is refused`, async (t) => {
    const gateway = await startQueuedSessions();
    t.after(() => gateway.close());
    const client = await gateway.connect();
    await openData(client);
    client.write(`Subject: x\r\n\r\n${data}.\r\n`);
    assert.match(await client.reply(), /^550 5\.6\.11 /);
    assert.equal(gateway.accepted.length, 0);
    assert.equal(gateway.openDrafts, 0);
    assert.match(await client.command("NOOP"), /^250 /);
  });

test("a smuggled message stays inside the one that carries it", async (t) => {
  for (const bare_newline of ["refuse", "normalise"] as const) {
    const gateway = await startQueuedSessions({
      config: { listeners: [{ name: "submission", port: 0, bare_newline }] },
    });
    t.after(() => gateway.close());
    const client = await gateway.connect();
    for (const end of [
      "\n.\n",
      "\n.\r\n",
      "\r\n.\n",
      "\r.\r",
      "\r\n.\r",
      "\r.\r\n",
      "\n.\r",
      "\r.\n",
      "\r\r\n.\r\r\n",
    ]) {
      await openData(client);
      client.write(
        `Subject: outer${end}MAIL FROM:<admin@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: inner\r\n.\r\n`,
      );
      const expected = bare_newline === "refuse" ? /^550 5\.6\.11 / : /^250 2\.0\.0 Ok: queued/;
      assert.match(await client.reply(), expected, `${bare_newline} ${JSON.stringify(end)}`);
      assert.match(await client.command("NOOP"), /^250 2\.0\.0 Ok$/, "nothing else was answered");
    }
    for (const { meta, body } of gateway.accepted) {
      assert.equal(meta.envelope.reversePath, "me@example.org");
      assert.match(body, /MAIL FROM:<admin@example\.org>/);
    }
  }
});

test("NUL is refused where newlines are normalised, too", async (t) => {
  const gateway = await startQueuedSessions({
    config: { listeners: [{ name: "submission", port: 0, bare_newline: "normalise" }] },
  });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  client.write("a\0b\r\n.\r\n");
  assert.match(await client.reply(), /^550 5\.6\.11 /);
});

test("a client that disconnects in the middle leaves nothing behind", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  client.write("Subject: x\r\n\r\nhalf");
  await waitFor("the draft", () => gateway.openDrafts === 1);
  client.close();
  await waitFor("the draft to be discarded", () => gateway.openDrafts === 0);
  assert.equal(gateway.accepted.length, 0);
});

test("a client that says QUIT or RSET between MAIL and DATA leaves nothing behind", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await client.command("EHLO x");
  await client.command("MAIL FROM:<me@example.org>");
  await client.command("RCPT TO:<you@example.org>");
  await client.command("EHLO x");
  assert.match(await client.command("DATA"), /^503 5\.5\.1 /);
  assert.match(await client.command("MAIL FROM:<me@example.org>"), /^250 /);
  assert.match(await client.command("QUIT"), /^221 /);
});
