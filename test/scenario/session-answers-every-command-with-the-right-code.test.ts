import assert from "node:assert/strict";
import { test } from "node:test";
import { openData, startQueuedSessions } from "../support/queued-sessions.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { waitFor } from "../support/wait-for.ts";

const protectedDomain = { domains: ["example.com"], servers: ["127.0.0.9:25"] };

test("each command has its reply and its enhanced status", async (t) => {
  const gateway = await startQueuedSessions({ config: { limits: { message: "1KB", recipients: 2 } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  for (const [command, reply] of [
    ["MAIL FROM:<me@example.org>", /^503 5\.5\.1 /],
    ["RCPT TO:<you@example.org>", /^503 5\.5\.1 /],
    ["DATA", /^503 5\.5\.1 /],
    ["HELO", /^501 Syntax/],
    ["EHLO", /^501 Syntax/],
    ["HELO client.example", /^250 gw\.example\.net$/],
    ["NOOP anything", /^250 2\.0\.0 /],
    ["HELP", /^214 2\.0\.0 /],
    ["VRFY you", /^252 2\.0\.0 /],
    ["VRFY", /^501 5\.5\.4 /],
    ["EXPN list", /^502 5\.5\.1 /],
    ["AUTH PLAIN AGEAYg==", /^502 5\.5\.1 /],
    ["BDAT 10", /^502 5\.5\.1 /],
    ["STARTTLS", /^502 5\.5\.1 /],
    ["XYZZY", /^500 5\.5\.2 /],
    ["RCPT TO:<you@example.org>", /^503 5\.5\.1 /],
    ["mail from:<me@example.org> SIZE=2000", /^552 5\.3\.4 /],
    ["MAIL FROM:<me@example.org> FOO=1", /^555 5\.5\.4 /],
    ["MAIL FROM:<me@example.org>", /^250 2\.1\.0 /],
    ["MAIL FROM:<me@example.org>", /^503 5\.5\.1 /],
    ["DATA", /^503 5\.5\.1 /],
    ["RCPT TO:<a@example.org>", /^250 2\.1\.5 /],
    ["RCPT TO:<b@example.org>", /^250 2\.1\.5 /],
    ["RCPT TO:<c@example.org>", /^452 4\.5\.3 /],
    ["RCPT TO:<a@example.org>", /^250 2\.1\.5 /],
    ["DATA now", /^501 5\.5\.4 /],
    ["RSET", /^250 2\.0\.0 /],
  ] as const)
    assert.match(await client.command(command), reply, command);
});

test("a session ends after QUIT", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  assert.match(await client.command("QUIT"), /^221 2\.0\.0 /);
  assert.equal(await client.untilClosed(), "");
});

test("EHLO offers what is honoured and nothing else", async (t) => {
  const gateway = await startQueuedSessions({ config: { limits: { message: "1MB" } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  assert.deepEqual((await client.command("EHLO client.example")).split("\n"), [
    "250-gw.example.net",
    "250-PIPELINING",
    "250-SIZE 1048576",
    "250-ENHANCEDSTATUSCODES",
    "250-8BITMIME",
    "250-DSN",
    "250 SMTPUTF8",
  ]);
});

test("unknown clients reach protected domains and no others", async (t) => {
  const gateway = await startQueuedSessions({
    config: { protected: [protectedDomain] },
    client: "198.51.100.7",
  });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<me@example.org>");
  for (const [recipient, reply] of [
    ["<you@example.org>", /^550 5\.7\.1 /],
    ["<you%example.org@example.com>", /^550 5\.7\.1 /],
    ["<example.org!you@example.com>", /^550 5\.7\.1 /],
    ['<"you@example.org"@example.com>', /^550 5\.7\.1 /],
    ["<@example.com:you@example.org>", /^550 5\.7\.1 /],
    ["<@example.org:you@example.com>", /^550 5\.7\.1 /],
    ["<nobody>", /^553 5\.1\.3 /],
  ] as const)
    assert.match(await client.command(`RCPT TO:${recipient}`), reply, recipient);
  assert.match(await client.command("DATA"), /^554 5\.5\.1 /);
  assert.match(await client.command("RCPT TO:<you@example.com>"), /^250 2\.1\.5 /);
  assert.match(await client.command("DATA"), /^354 /);
  client.write("Subject: hi\r\n\r\nhi\r\n.\r\n");
  assert.match(await client.reply(), /^250 2\.0\.0 Ok: queued as [0-9A-Z]{18}$/);
  assert.deepEqual(
    gateway.accepted[0]?.meta.envelope.recipients.map(({ address }) => address),
    ["you@example.com"],
  );
  const refusals = gateway.log.filter(({ event }) => event === "message.refused");
  assert.equal(refusals[0]?.stage, "RCPT");
  assert.equal(refusals[0]?.reply, "550 5.7.1 Relaying denied");
  assert.deepEqual(refusals[0]?.to, ["you@example.org"]);
});

test("addresses beyond ASCII need SMTPUTF8", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await client.command("EHLO client.example");
  assert.match(await client.command("MAIL FROM:<m\u00e9@example.org>"), /^553 5\.6\.7 /);
  assert.match(await client.command("MAIL FROM:<me@example.org>"), /^250 /);
  assert.match(await client.command("RCPT TO:<y\u00f6u@example.org>"), /^553 5\.6\.7 /);
  await client.command("RSET");
  assert.match(await client.command("MAIL FROM:<m\u00e9@example.org> SMTPUTF8"), /^250 /);
  assert.match(await client.command("RCPT TO:<y\u00f6u@example.org>"), /^250 /);
  assert.match(await client.command("DATA"), /^354 /);
  client.write("Subject: hi\r\n\r\nhi\r\n.\r\n");
  assert.match(await client.reply(), /^250 /);
  const [message] = gateway.accepted;
  assert.equal(message?.meta.envelope.reversePath, "m\u00e9@example.org");
  assert.match(message?.meta.received ?? "", / with UTF8SMTP id /);
});

test("malformed command lines are refused, and the next one is read", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  for (const line of ["NOOP\n", "NO\0OP\r\n", "NO\rOP\r\n", Buffer.from([0x4e, 0xff, 0xfe, 13, 10])]) {
    client.write(line);
    assert.match(await client.reply(), /^500 5\.5\.2 /, JSON.stringify(line));
  }
  client.write(`NOOP ${"x".repeat(2100)}\r\n`);
  assert.match(await client.reply(), /^500 5\.5\.2 Line too long/);
  client.write(`NOOP ${"x".repeat(100_000)}`);
  client.write(`${"x".repeat(100_000)}\r\nNOOP\r\n`);
  assert.match(await client.reply(), /^500 5\.5\.2 Line too long/);
  assert.match(await client.reply(), /^250 2\.0\.0 /);
});

test("normalising listeners take command lines that end in a bare LF", async (t) => {
  const gateway = await startQueuedSessions({
    config: { listeners: [{ name: "submission", port: 0, bare_newline: "normalise" }] },
  });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.write("NOOP\n");
  assert.match(await client.reply(), /^250 2\.0\.0 /);
});

test("too many bad commands end the session", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.write("BAD\r\n".repeat(30));
  const said = (await client.untilClosed()).trimEnd().split("\r\n");
  assert.equal(said.length, 21);
  assert.match(said.at(-2) ?? "", /^500 5\.5\.2 /);
  assert.match(said.at(-1) ?? "", /^421 4\.7\.0 /);
});

test("commands that move no mail count when there are too many", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.write("NOOP\r\n".repeat(500));
  const said = (await client.untilClosed()).trimEnd().split("\r\n");
  assert.equal(said.length, 121);
  assert.match(said.at(-1) ?? "", /^421 4\.7\.0 /);
});

test("a client that looks for an open relay is disconnected", async (t) => {
  const gateway = await startQueuedSessions({ client: "198.51.100.7" });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.write("EHLO x\r\nMAIL FROM:<>\r\n");
  for (let i = 0; i < 200; i++) client.write(`RCPT TO:<user${i}@example.org>\r\n`);
  assert.match(await client.untilClosed(), /\r\n550 5\.7\.1 [^\n]*\n421 4\.7\.0 [^\n]*\n$/);
  const logged = gateway.log.filter(({ event }) => event === "message.refused");
  assert.equal(logged.length, 50, "the log is not flooded");
  const closed = await waitFor("the session to be logged", () =>
    gateway.log.find(({ event }) => event === "session.close"),
  );
  assert.equal(closed.refused, 100);
});

test("web browsers are no mail clients", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.write("POST / HTTP/1.1\r\nHost: gw\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.org>\r\n");
  assert.match(await client.untilClosed(), /^421 4\.7\.0 [^\n]*\n$/);
});

test("early talkers are refused where the listener says so", async (t) => {
  const gateway = await startQueuedSessions({
    config: { listeners: [{ name: "submission", port: 0, early_talker: "300ms" }] },
  });
  t.after(() => gateway.close());
  const waiting = await gateway.connect();
  assert.match(await waiting.command("NOOP"), /^250 /);
  const talker = await SmtpClient.connect(gateway.port);
  talker.write("EHLO client.example\r\n");
  assert.match(await talker.untilClosed(), /^554 5\.5\.1 [^\n]*\n$/);
  talker.close();
});

test("the replies to a pipeline come in order, and in one piece", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  let pieces = 0;
  client.socket.on("data", () => pieces++);
  client.write(
    "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<bad\r\nRCPT TO:<c@example.org>\r\nDATA\r\n",
  );
  for (const code of ["250", "250 2.1.0", "250 2.1.5", "501 5.1.3", "250 2.1.5", "354"])
    assert.ok((await client.reply()).startsWith(code), code);
  assert.equal(pieces, 1);
  client.write("Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<>\r\nRSET\r\nNOOP\r\nQUIT\r\n");
  for (const code of ["250 2.0.0 Ok: queued", "250 2.1.0", "250 2.0.0", "250 2.0.0", "221"])
    assert.ok((await client.reply()).startsWith(code), code);
});

test("commands and data cut at every octet do the same", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.socket.setNoDelay(true);
  const dialogue =
    "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: x\r\n\r\n..x\r\n.\r\nQUIT\r\n";
  for (const octet of dialogue) {
    client.write(octet);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const said = await client.untilClosed();
  assert.match(said, /354 [^\n]*\n250 2\.0\.0 Ok: queued as [^\n]*\n221 [^\n]*\n$/);
  assert.equal(gateway.accepted[0]?.body, "Subject: x\r\n\r\n.x\r\n");
});

test("a client that closes its side still gets the reply", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  client.socket.end("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.untilClosed(), /^250 2\.0\.0 Ok: queued/);
});

test("a command without its line end is not run", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.socket.end("NOOP\r\nNOOP");
  assert.match(await client.untilClosed(), /^250 [^\n]*\n$/);
});

for (const [what, address, code] of [
  ["that is in the envelope already", "0@example.org", "250"],
  ["beyond the limit", "more@example.org", "452"],
] as const) {
  test(`a client cannot name a recipient ${what} for ever: as many as the limit, and then each is an error`, async (t) => {
    const gateway = await startQueuedSessions({ config: { limits: { recipients: 50 } } });
    t.after(() => gateway.close());
    const client = await gateway.connect();
    await client.command("EHLO client.example");
    await client.command("MAIL FROM:<me@example.org>");
    const named = Array.from({ length: 50 }, (_, i) => `RCPT TO:<${i}@example.org>\r\n`);
    client.write(`${named.join("")}${`RCPT TO:<${address}>\r\n`.repeat(200)}`);
    const codes = (await client.untilClosed()).split("\n").map((line) => line.slice(0, 3));
    const repeated = codes.slice(50);
    assert.deepEqual(repeated.slice(0, 71), [...Array(70).fill(code), "421"]);
  });
}
