import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { SmtpConnection } from "../../../../shared/smtp-client/session/connection.ts";

/** A connection, and what the server writes on it. */
async function connected(t: TestContext) {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[net.Socket]>;
  const socket = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  const [remote] = await accepted;
  const connection = new SmtpConnection(socket);
  t.after(() => {
    connection.destroy("closed", "the test is over");
    remote.destroy();
    server.close();
  });
  return { connection, remote };
}

const replyOf = (heard: Awaited<ReturnType<SmtpConnection["hear"]>>) =>
  heard.kind === "reply" ? heard.reply.code : heard.disconnectReason.reason;

test("each reply has its own time: a long one before does not delay a short one", async (t) => {
  const { connection, remote } = await connected(t);
  remote.write("250 ok\r\n");
  assert.equal(replyOf(await connection.hear("MAIL", 600_000)), 250);
  assert.equal(replyOf(await connection.hear("RCPT", 50)), "no reply to RCPT within 50 ms");
  assert.equal(connection.disconnectReason?.kind, "timeout");
});

test("each reply has its own time: a short one before does not cut a long one", async (t) => {
  const { connection, remote } = await connected(t);
  const mail = connection.hear("MAIL", 300);
  remote.write("250 ok\r\n");
  assert.equal(replyOf(await mail), 250);
  const rcpt = connection.hear("RCPT", 600_000);
  // Behind the time that MAIL had.
  setTimeout(() => remote.write("251 ok\r\n"), 400);
  assert.equal(replyOf(await rcpt), 251);
});

test("replies that come together are heard one by one, and those before the end of the connection count", async (t) => {
  const { connection, remote } = await connected(t);
  const first = connection.hear("MAIL", 60_000);
  remote.end("250 one\r\n550 two\r\n");
  assert.equal(replyOf(await first), 250);
  assert.equal(replyOf(await connection.hear("RCPT", 60_000)), 550);
  assert.equal((await connection.hear("DATA", 60_000)).kind, "lost");
});
