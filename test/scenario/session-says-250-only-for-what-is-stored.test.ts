import assert from "node:assert/strict";
import { test } from "node:test";
import { SpoolFull, SpoolUnavailable } from "../../shared/spool/spool.ts";
import { openData, startQueuedSessions } from "../support/queued-sessions.ts";
import { waitFor } from "../support/wait-for.ts";

/** A promise and what settles it. */
function gate() {
  return Promise.withResolvers<void>();
}

test("250 waits for the commit", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const commit = gate();
  let committing = false;
  gateway.faults.onCommit = () => {
    committing = true;
    return commit.promise;
  };
  const client = await gateway.connect();
  await openData(client);
  let said = "";
  client.socket.on("data", (chunk) => {
    said += chunk;
  });
  client.write("Subject: x\r\n\r\nx\r\n.\r\nNOOP\r\n");
  await waitFor("the commit", () => committing);
  const other = await gateway.connect();
  await other.command("NOOP");
  assert.equal(said, "", "neither 250 nor the reply to the next command");
  assert.equal(gateway.published.length, 0);
  commit.resolve();
  assert.match(await client.reply(), /^250 2\.0\.0 Ok: queued/);
  assert.match(await client.reply(), /^250 2\.0\.0 Ok$/);
  assert.equal(gateway.published.length, 1);
});

test("a message whose client disconnects before the 250 stays accepted", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const commit = gate();
  gateway.faults.onCommit = () => commit.promise;
  const client = await gateway.connect();
  await openData(client);
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  await waitFor("the draft to be committed", () => gateway.openDrafts === 0);
  client.socket.resetAndDestroy();
  await waitFor("the session to end", () => gateway.sessions.active === 0);
  commit.resolve();
  await waitFor("the message to be published", () => gateway.published.length === 1);
  const logged = await waitFor("the log", () =>
    gateway.log.find(({ event }) => event === "message.accepted"),
  );
  assert.equal(logged.unheard, true);
});

test("a full spool answers 452 4.3.1, a broken one 451 4.3.0, and the session goes on", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const client = await gateway.connect();
  const { faults } = gateway;
  for (const [error, reply] of [
    [new SpoolFull("full"), /^452 4\.3\.1 /],
    [new SpoolUnavailable("broken"), /^451 4\.3\.0 /],
    [new Error("our own bug"), /^451 4\.3\.0 /],
  ] as const) {
    faults.onDraft = error;
    await client.command("EHLO x");
    await client.command("MAIL FROM:<me@example.org>");
    await client.command("RCPT TO:<you@example.org>");
    assert.match(await client.command("DATA"), reply);
    delete faults.onDraft;
    await client.command("RSET");

    faults.onWrite = () => {
      throw error;
    };
    await openData(client);
    client.write("Subject: x\r\n\r\nx\r\n.\r\n");
    assert.match(await client.reply(), reply);

    faults.onWrite = () => Promise.reject(error);
    await openData(client);
    client.write("Subject: x\r\n\r\nx\r\n.\r\n");
    assert.match(await client.reply(), reply);
    delete faults.onWrite;

    faults.onCommit = () => Promise.reject(error);
    await openData(client);
    client.write("Subject: x\r\n\r\nx\r\n.\r\n");
    assert.match(await client.reply(), reply);
    delete faults.onCommit;
  }
  assert.equal(gateway.accepted.length, 0);
  assert.equal(gateway.published.length, 0);
  assert.equal(gateway.openDrafts, 0);
});

test("a client is not read from while the storage asks to wait", async (t) => {
  const gateway = await startQueuedSessions();
  t.after(() => gateway.close());
  const writing = gate();
  let written = 0;
  gateway.faults.onWrite = (chunk) => {
    written += chunk.length;
    return writing.promise;
  };
  const client = await gateway.connect();
  await openData(client);
  const message = Buffer.from(`${"x".repeat(998)}\r\n`.repeat(8000));
  client.write(message);
  client.write(".\r\n");
  await waitFor("the first write", () => written > 0);
  const other = await gateway.connect();
  await other.command("NOOP");
  assert.ok(written < 100_000, `${written} octets were taken in spite of the storage`);
  writing.resolve();
  assert.match(await client.reply(), /^250 /);
  assert.equal(gateway.accepted[0]?.body.length, message.length);
});

test("a commit that does not return is answered 451, and its copy is removed when it returns after all", async (t) => {
  const gateway = await startQueuedSessions({ storageDeadlineMs: 50 });
  t.after(() => gateway.close());
  const commit = gate();
  gateway.faults.onCommit = () => commit.promise;
  const client = await gateway.connect();
  await openData(client);
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^451 4\.3\.0 /);
  commit.resolve();
  const [settlement] = await waitFor(
    "the copy to be removed",
    () => gateway.settled.length > 0 && gateway.settled,
  );
  assert.deepEqual(settlement, {
    id: gateway.accepted[0]?.meta.id,
    recipients: [0],
    state: { kind: "removed" },
  });
  assert.equal(gateway.published.length, 0);
});

test("a write that does not return is answered 451", async (t) => {
  const gateway = await startQueuedSessions({ storageDeadlineMs: 50 });
  t.after(() => gateway.close());
  gateway.faults.onWrite = () => new Promise(() => {});
  const inTheMiddle = await gateway.connect();
  await openData(inTheMiddle);
  inTheMiddle.write("Subject: x\r\n");
  assert.match(await inTheMiddle.untilClosed(), /^451 4\.3\.0 /);
  const atTheEnd = await gateway.connect();
  await openData(atTheEnd);
  atTheEnd.write("Subject: x\r\n\r\n.\r\n");
  assert.match(await atTheEnd.reply(), /^451 4\.3\.0 /);
  assert.equal(gateway.openDrafts, 0);
});
