import assert from "node:assert/strict";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { noExtensions } from "../../../../shared/smtp/extensions.ts";
import { SmtpConnection } from "../../../../shared/smtp-client/session/connection.ts";
import { MailTransaction } from "../../../../shared/smtp-client/transaction/mail-transaction.ts";
import { type RawConnection, startRawServer } from "../../../support/raw-server.ts";
import { summary } from "../../../support/smtp-client-fixture.ts";
import { waitFor } from "../../../support/wait-for.ts";

const recipient = { address: "bob@example.org" };
const prefix = Buffer.from("Received: x\r\n");
const begin = "MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n";

async function start(
  t: TestContext,
  pipelining = true,
): Promise<{ transaction: MailTransaction; server: RawConnection; writes: string[] }> {
  const listener = await startRawServer();
  const socket = net.connect(listener.port, listener.address);
  await new Promise((resolve) => socket.once("connect", resolve));
  const server = await listener.next();
  const writes: string[] = [];
  const connection = new (class extends SmtpConnection {
    override write(data: string | Buffer, encoding?: "latin1" | "utf8"): boolean {
      writes.push(data.toString());
      return super.write(data, encoding);
    }
  })(socket);
  t.after(async () => {
    connection.destroy("aborted", "the test is over");
    await listener.stop();
  });
  const session = {
    connection,
    remote: { host: "mx.example.org", address: listener.address, port: listener.port },
    extensions: { ...noExtensions, pipelining },
    policy: "may" as const,
    transactions: 0,
    isAwaitingDot: false,
    openedAtMs: 0,
  };
  const transaction = new MailTransaction(session, {
    envelope: { reversePath: "alice@example.com", recipients: [] },
    traits: { octets: undefined, has8bit: false, needsSmtpUtf8: false },
    timeouts: { mail: 2000, rcpt: 2000, data: 2000, body: 2000, dot: 2000 },
    now: () => 1,
  });
  return { transaction, server, writes };
}

async function reachData(transaction: MailTransaction, server: RawConnection): Promise<void> {
  server.socket.write("250 ok\r\n250 ok\r\n354 go on\r\n");
  await transaction.mail({ recipients: [recipient], data: true });
  await transaction.rcpt(recipient);
  assert.equal((await transaction.data(prefix)).kind, "accepted");
}

test("the envelope goes out in one write, and a small message with its dot in another (RFC 2920)", async (t) => {
  const { transaction, server, writes } = await start(t);
  await reachData(transaction, server);
  const outcome = transaction.dot([Buffer.from("\r\n.dot\r\n")]);
  await waitFor("the message to come", () => server.text.endsWith("\r\n.\r\n"));
  server.socket.write("250 2.0.0 queued\r\n");
  assert.equal(summary(await outcome), "delivered");
  assert.deepEqual(writes, [begin, "Received: x\r\n\r\n..dot\r\n.\r\n"]);
  await transaction.reset();
  assert.ok(transaction.isReusable);
  assert.equal(writes.length, 2, "what was carried out needs no RSET");
});

test("a connection lost while the dot waits in our socket has delivered nothing", async (t) => {
  const { transaction, server } = await start(t);
  await reachData(transaction, server);
  server.socket.pause();
  const outcome = transaction.dot([Buffer.alloc(32 * 1024 * 1024, `${"x".repeat(998)}\r\n`)]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  server.socket.resetAndDestroy();
  const found = await outcome;
  assert.equal(summary(found), "deferred 4.4.2 network");
  assert.ok(found.kind === "deferred" && found.diagnosis.possiblyDelivered === undefined);
  assert.ok(!transaction.isReusable);
});

test("a server that refuses the sender and accepts a recipient gets no empty message for it", async (t) => {
  const { transaction, server } = await start(t);
  server.socket.write("550 5.7.1 not you\r\n250 ok\r\n354 go on\r\n");
  const mail = await transaction.mail({ recipients: [recipient], data: true });
  assert.ok(mail.kind === "refused" && summary(mail.outcome) === "rejected 5.7.1 5xx");
  await transaction.reset();
  assert.ok(!transaction.isReusable);
  await waitFor("the connection to end", () => server.ended || server.closed);
  assert.equal(server.text, begin);
});

test("a transaction that is given up in the middle of the message closes the connection", async (t) => {
  const { transaction, server } = await start(t);
  await reachData(transaction, server);
  assert.ok(await transaction.send([Buffer.from("half a line")]));
  await transaction.reset();
  assert.ok(!transaction.isReusable);
  await waitFor("the connection to end", () => server.ended || server.closed);
  assert.equal(server.text, `${begin}${prefix}half a line`);
});

test("a reply that comes before the command is no answer to it", async (t) => {
  const { transaction, server } = await start(t, false);
  server.socket.write("250 ok\r\n550 5.1.1 no such user\r\n");
  await transaction.mail({ recipients: [recipient], data: true });
  const rcpt = await transaction.rcpt(recipient);
  assert.ok(rcpt.kind === "ended" && summary(rcpt.outcome) === "deferred 4.5.0 network");
  await transaction.reset();
  assert.ok(!transaction.isReusable);
  assert.doesNotMatch(server.text, /RCPT|RSET/);
});
