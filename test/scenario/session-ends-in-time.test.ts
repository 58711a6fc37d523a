import assert from "node:assert/strict";
import { test } from "node:test";
import { openData, startQueuedSessions } from "../support/queued-sessions.ts";
import { waitFor } from "../support/wait-for.ts";

test("a client that sends nothing gets 421 4.4.2", async (t) => {
  const gateway = await startQueuedSessions({ config: { timeouts: { client: "1s" } } });
  t.after(() => gateway.close());
  const idle = await gateway.connect();
  assert.match(await idle.untilClosed(), /^421 4\.4\.2 /);
  const inData = await gateway.connect();
  await openData(inData);
  inData.write("Subject: x\r\n");
  assert.match(await inData.untilClosed(), /^421 4\.4\.2 /);
  assert.equal(gateway.openDrafts, 0);
});

test("a client is not idle while it waits for the storage", async (t) => {
  const gateway = await startQueuedSessions({ config: { timeouts: { client: "500ms" } } });
  t.after(() => gateway.close());
  gateway.faults.onCommit = () => new Promise((resolve) => setTimeout(resolve, 1_000));
  const client = await gateway.connect();
  await openData(client);
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^250 2\.0\.0 /);
});

test("a session ends after its time, but not before its transaction does", async (t) => {
  const gateway = await startQueuedSessions({ config: { timeouts: { session: "1s" } } });
  t.after(() => gateway.close());
  const [idle, busy] = [await gateway.connect(), await gateway.connect()];
  await openData(busy);
  assert.match(await idle.untilClosed(), /^421 4\.4\.2 /);
  busy.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await busy.untilClosed(), /^250 2\.0\.0 [^\n]*\n421 4\.4\.2 [^\n]*\n$/);
});

test("a message that trickles in is broken off", async (t) => {
  let nowMs = Date.now();
  let taken = 0;
  const gateway = await startQueuedSessions({ now: () => nowMs });
  t.after(() => gateway.close());
  gateway.faults.onWrite = (chunk) => {
    taken += chunk.length;
    return undefined;
  };
  const client = await gateway.connect();
  await openData(client);
  const send = async (text: string): Promise<void> => {
    const before = taken;
    client.write(text);
    await waitFor("the octets to be read", () => taken === before + text.length);
  };
  await send(`${"x".repeat(6000)}\r\n`);
  nowMs += 5 * 60_000;
  await send("fast enough so far\r\n");
  nowMs += 5 * 60_000;
  client.write("too slow by now\r\n");
  assert.match(await client.untilClosed(), /^421 4\.4\.2 /);
  assert.equal(gateway.openDrafts, 0);
});

test("a message that is slower than 500 octets a second is broken off after five minutes, whatever comes at a time", async (t) => {
  let nowMs = Date.now();
  let taken = 0;
  const gateway = await startQueuedSessions({ now: () => nowMs });
  t.after(() => gateway.close());
  let storage: PromiseWithResolvers<void> | undefined;
  gateway.faults.onWrite = (chunk) => {
    taken += chunk.length;
    return storage?.promise;
  };
  const client = await gateway.connect();
  await openData(client);
  const line = `${"x".repeat(5998)}\r\n`;
  const send = async (): Promise<void> => {
    const before = taken;
    client.write(line);
    await waitFor("the octets to be read", () => taken === before + line.length);
  };
  storage = Promise.withResolvers();
  await send();
  nowMs += 5 * 60_000;
  // That was the time of a slow disk, and not the client's.
  storage.resolve();
  storage = undefined;
  await send();
  nowMs += 5 * 60_000;
  await send();
  nowMs += 5 * 60_000;
  client.write(line);
  assert.match(await client.untilClosed(), /^421 4\.4\.2 /);
  assert.equal(gateway.openDrafts, 0);
});

test("octets of a command that does not end put nothing off", async (t) => {
  const gateway = await startQueuedSessions({ config: { timeouts: { client: "300ms" } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  const drip = setInterval(() => client.write("N"), 20);
  t.after(() => clearInterval(drip));
  assert.match(await client.untilClosed(), /^421 4\.4\.2 /);
});

test("a session that keeps its transaction open with commands ends timeouts.client after its time", async (t) => {
  const gateway = await startQueuedSessions({ config: { timeouts: { session: "1s", client: "200ms" } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<me@example.org>");
  const drip = setInterval(() => client.write("NOOP\r\n"), 50);
  t.after(() => clearInterval(drip));
  assert.match(await client.untilClosed(), /421 4\.4\.2 [^\n]*\n$/);
});

test("a session whose message never ends has as long again for it, and then ends", async (t) => {
  const gateway = await startQueuedSessions({ config: { timeouts: { session: "1s", client: "500ms" } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  const drip = setInterval(() => client.write("x\r\n"), 20);
  t.after(() => clearInterval(drip));
  assert.match(await client.untilClosed(), /^421 4\.4\.2 [^\n]*\n$/);
  assert.equal(gateway.openDrafts, 0);
});

test("closing ends idle sessions at once and the others after their transaction", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const [idle, between, sending] = [
    await gateway.connect(),
    await gateway.connect(),
    await gateway.connect(),
  ];
  await between.command("EHLO x");
  await between.command("MAIL FROM:<me@example.org>");
  await openData(sending);
  const closed = gateway.sessions.close(10_000);
  assert.match(await idle.untilClosed(), /^421 4\.3\.2 /);
  assert.match(await between.command("RCPT TO:<you@example.org>"), /^250 /);
  between.write("RSET\r\n");
  assert.match(await between.untilClosed(), /^250 [^\n]*\n421 4\.3\.2 /);
  sending.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await sending.untilClosed(), /^250 2\.0\.0 [^\n]*\n421 4\.3\.2 /);
  for (const client of [idle, between, sending]) client.close();
  await closed;
});

test("sessions that are not done within the grace time are cut", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await openData(client);
  client.write("Subject: x\r\n");
  await gateway.sessions.close(100);
  assert.match(await client.untilClosed(), /^421 4\.3\.2 /);
  assert.equal(gateway.openDrafts, 0);
  const late = await gateway.connect().catch((error: Error) => error.message);
  assert.equal(typeof late, "object", "the greeting is a 421");
});

test("a client that does not close its side after QUIT is not waited for", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  client.socket.allowHalfOpen = true;
  await client.command("QUIT");
  // Five seconds are what any other client has to close its side.
  await waitFor("the session to end", () => gateway.sessions.active === 0);
  assert.equal(gateway.log.find(({ event }) => event === "session.close")?.endedBy, "221 2.0.0");
});

test("a client that never reads is not read without end", async (t) => {
  // Repeated recipients are no errors up to this limit.
  const gateway = await startQueuedSessions({ config: { limits: { recipients: 1_000_000 } } });
  t.after(() => gateway.close());
  const client = await gateway.connect();
  await client.command("EHLO x");
  await client.command("MAIL FROM:<me@example.org>");
  client.socket.pause();
  const commands = Buffer.from("RCPT TO:<me@example.org>\r\n".repeat(2000));
  let taken = 0;
  const send = (error?: Error | null): void => {
    if (error) return;
    taken++;
    client.socket.write(commands, send);
  };
  client.socket.write(commands, send);
  // The kernel's buffers fill up, and then nothing moves any more.
  let before = -1;
  await waitFor("the client to be stopped", async () => {
    const stopped = taken === before;
    before = taken;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return stopped;
  });
  assert.equal(gateway.sessions.active, 1);
});

test("a fault of ours ends its own session, and no other", async (t) => {
  let broken = false;
  const gateway = await startQueuedSessions({
    now: () => {
      if (broken) throw new Error("no clock");
      return Date.now();
    },
  });
  t.after(() => gateway.close());
  const [client, other] = [await gateway.connect(), await gateway.connect()];
  await openData(client);
  broken = true;
  client.write("Subject: x\r\n");
  assert.match(await client.untilClosed(), /^421 4\.3\.0 /);
  broken = false;
  assert.equal(gateway.openDrafts, 0);
  assert.match(await other.command("NOOP"), /^250 /);
});
