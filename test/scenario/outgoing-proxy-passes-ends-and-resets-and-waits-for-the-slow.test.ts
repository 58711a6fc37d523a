import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import net from "node:net";
import { type TestContext, test } from "node:test";
import tls from "node:tls";
import { selfSignedCertificate } from "../support/certificate.ts";
import { someClient, startTestIngress, type TestIngress } from "../support/ingress.ts";
import { proxyV1 } from "../support/proxy-header.ts";
import { type RawConnection, type RawServer, startRawServer } from "../support/raw-server.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

interface Ends {
  gateway: TestIngress;
  server: RawServer;
  client: SmtpClient;
  remote: RawConnection;
}

/** A client and its server, joined by the gateway; the server has greeted. */
async function joined(t: TestContext, outgoing: object = {}, paused = false): Promise<Ends> {
  const server = await startRawServer({ paused });
  const gateway = await startTestIngress({ outgoing });
  const client = await gateway.connect(server);
  t.after(async () => {
    client.close();
    await gateway.close(0);
    await server.stop();
  });
  const remote = await server.next();
  remote.socket.write("220 far.test\r\n");
  assert.equal(await client.reply(), "220 far.test");
  return { gateway, server, client, remote };
}

async function intoData({ client, remote }: Ends): Promise<void> {
  client.write("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
  await waitFor("the commands arrive", () => remote.text.endsWith("DATA\r\n"));
  remote.socket.write("250 a\r\n250 b\r\n354 go on\r\n");
  for (let i = 0; i < 3; i++) await client.reply();
}

const lost = (gateway: TestIngress) =>
  waitFor("the transaction is logged", () => gateway.events("proxy.transaction")[0]);

test("a server that closes in the middle of the data: the client is dropped, the message lost", async (t) => {
  const ends = await joined(t);
  await intoData(ends);
  ends.client.write("half a mess");
  await waitFor("it arrives", () => ends.remote.text.endsWith("half a mess"));
  ends.remote.socket.destroy();
  assert.equal(await ends.client.untilClosed(), "");
  const transaction = await lost(ends.gateway);
  assert.deepEqual([transaction.result, transaction.octets], ["lost", 11]);
  assert.equal(ends.gateway.drafts, 0);
});

test("with on_failure: 421 the client gets 421 when the server goes away", async (t) => {
  const ends = await joined(t, { on_failure: "421" });
  ends.client.write("EHLO a\r\n");
  await waitFor("it arrives", () => ends.remote.text !== "");
  ends.remote.socket.resetAndDestroy();
  assert.match(await ends.client.untilClosed(), /^421 4\.4\.1 [^\r\n]+\r\n$/);
});

test("with on_failure: 421 the gateway sends nothing in the middle of a reply, after QUIT, or after the server's own 421", async (t) => {
  const half = await joined(t, { on_failure: "421" });
  half.remote.socket.end("250-half a reply\r\n");
  assert.equal(await half.client.untilClosed(), "250-half a reply\r\n");
  const quit = await joined(t, { on_failure: "421" });
  quit.client.write("QUIT\r\n");
  await waitFor("it arrives", () => quit.remote.text !== "");
  quit.remote.socket.end("221 bye\r\n");
  assert.equal(await quit.client.untilClosed(), "221 bye\r\n");
  const own = await joined(t, { on_failure: "421" });
  own.remote.socket.end("421 4.3.2 going down\r\n");
  assert.equal(await own.client.untilClosed(), "421 4.3.2 going down\r\n");
});

test("a client that resets: the server's connection is reset, and the server never sees the end of a message", async (t) => {
  const ends = await joined(t);
  await intoData(ends);
  ends.client.write("half a message\r\n");
  await waitFor("it arrives", () => ends.remote.text.endsWith("message\r\n"));
  ends.client.socket.resetAndDestroy();
  await waitFor("the server's connection is gone", () => ends.remote.closed);
  assert.equal(ends.remote.error, "ECONNRESET");
  assert.equal((await lost(ends.gateway)).result, "lost");
  const close = await waitFor("the end is logged", () => ends.gateway.events("session.close")[0]);
  assert.equal(close.how, "client-reset");
});

test("a server that resets: so is the client", async (t) => {
  const ends = await joined(t);
  const error = new Promise<NodeJS.ErrnoException>((resolve) => ends.client.socket.once("error", resolve));
  ends.remote.socket.resetAndDestroy();
  assert.equal((await error).code, "ECONNRESET");
});

test("a client that closes its side still gets the replies", async (t) => {
  const ends = await joined(t);
  const { client, remote } = ends;
  client.socket.allowHalfOpen = true;
  client.socket.end("NOOP\r\nQUIT");
  await waitFor("the end arrives", () => remote.ended);
  assert.equal(remote.text, "NOOP\r\nQUIT", "the line that has no end as well");
  remote.socket.write("250 noop\r\n");
  remote.socket.end("221 bye\r\n");
  assert.deepEqual([await client.reply(), await client.reply()], ["250 noop", "221 bye"]);
  await waitFor("the session ends", () => ends.gateway.events("session.close").length === 1);
});

test("octets that a client sent before it closed wait for the reply that decides what they are", async (t) => {
  const { client, remote } = await joined(t);
  client.socket.allowHalfOpen = true;
  client.socket.end("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nearly data\r\n.\r\nQUIT\r\n");
  await waitFor("the commands arrive", () => remote.text.endsWith("DATA\r\n"));
  assert.equal(remote.ended, false);
  remote.socket.write("250 a\r\n250 b\r\n354 go on\r\n");
  await waitFor("the end arrives", () => remote.ended);
  assert.ok(remote.text.endsWith("DATA\r\nearly data\r\n.\r\nQUIT\r\n"));
  remote.socket.end("250 queued\r\n221 bye\r\n");
  for (const code of ["250", "250", "354", "250", "221"])
    assert.equal((await client.reply()).slice(0, 3), code);
});

/** Writes in pieces, so that the socket knows how many of them have gone. */
function pour(socket: net.Socket, octets: Buffer): void {
  for (let at = 0; at < octets.length; at += 65_536) socket.write(octets.subarray(at, at + 65_536));
}

/** Waits until nothing has moved for a while; @returns octets that have not gone. */
async function waitUntilStuck(socket: net.Socket): Promise<number> {
  let before = -1;
  return waitFor("all buffers to be full", async () => {
    before = socket.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return before === socket.writableLength && { left: before };
  }).then(({ left }) => left);
}

test("a server slower than its client holds the client back, and gets every octet", async (t) => {
  const ends = await joined(t);
  await intoData(ends);
  ends.remote.socket.pause();
  const message = Buffer.alloc(32 * 1024 * 1024, randomBytes(1021).toString("hex"));
  pour(ends.client.socket, message);
  assert.ok((await waitUntilStuck(ends.client.socket)) > 0, "the client still has some of it");
  const hash = createHash("sha1");
  let octets = 0;
  ends.remote.socket.removeAllListeners("data");
  ends.remote.socket.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    octets += chunk.length;
  });
  ends.remote.socket.resume();
  await waitFor("all of it arrives", () => octets >= message.length);
  assert.equal(hash.digest("hex"), createHash("sha1").update(message).digest("hex"));
});

test("a client slower than its server holds the server back", async (t) => {
  const { client, remote } = await joined(t);
  client.socket.pause();
  const reply = Buffer.from(`250-${"x".repeat(996)}\r\n`.repeat(32 * 1024));
  pour(remote.socket, reply);
  assert.ok((await waitUntilStuck(remote.socket)) > 0, "the server still has some of it");
  let octets = 0;
  client.socket.removeAllListeners("data");
  client.socket.on("data", (chunk: Buffer) => {
    octets += chunk.length;
  });
  client.socket.resume();
  await waitFor("all of it arrives", () => octets >= reply.length);
});

test("STARTTLS that is passed is the client's and the server's own, with that server's certificate", async (t) => {
  const certificate = selfSignedCertificate("far.test");
  const server = await startSmtpPeer({ address: "127.0.0.2", tls: certificate });
  const gateway = await startTestIngress();
  const socket = net.connect(gateway.port(), "127.0.0.1");
  t.after(async () => {
    socket.destroy();
    await gateway.close(0);
    await server.stop();
  });
  socket.write(proxyV1(someClient, server));
  const say = async (connection: net.Socket, text: string, answer: RegExp) => {
    let received = "";
    const listen = (chunk: Buffer) => {
      received += chunk;
    };
    connection.on("data", listen);
    if (text !== "") connection.write(text);
    await waitFor(String(answer), () => answer.test(received));
    connection.off("data", listen);
  };
  await say(socket, "", /^220 /);
  await say(socket, "EHLO a\r\n", /STARTTLS[\s\S]*\r\n$/);
  await say(socket, "STARTTLS\r\n", /^220 .*\r\n$/);
  const secure = tls.connect({ socket, ca: certificate.cert, servername: "far.test" });
  await new Promise<void>((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject));
  assert.equal(secure.authorized, true);
  await say(secure, "EHLO a\r\n", /^250[\s\S]*250 .*\r\n$/);
  await say(secure, "MAIL FROM:<a@b>\r\n", /^250 /);
  await say(secure, "RCPT TO:<c@d>\r\n", /^250 /);
  await say(secure, "DATA\r\n", /^354 /);
  await say(secure, "Subject: x\r\n\r\nsecret\r\n.\r\n", /^250 /);
  secure.end();
  const [message] = server.received;
  assert.equal(message?.tls, true);
  const close = await waitFor("the end is logged", () => gateway.events("session.close")[0]);
  assert.equal(close.notInspected, "starttls");
  assert.deepEqual(gateway.events("proxy.transaction"), []);
});

test("a gateway that stops lets a transaction finish, and ends idle sessions with 421", async (t) => {
  const ends = await joined(t);
  const idle = await ends.gateway.connect(ends.server);
  const remote = await ends.server.next();
  remote.socket.write("220 far.test\r\n");
  await idle.reply();
  await intoData(ends);
  const closed = ends.gateway.close(20_000);
  assert.match(await idle.untilClosed(), /^421 4\.3\.2 /);
  await waitFor("the idle server's connection ends", () => remote.ended);
  remote.socket.end();
  ends.client.write("the rest\r\n.\r\n");
  await waitFor("it arrives", () => ends.remote.text.endsWith("the rest\r\n.\r\n"));
  ends.remote.socket.write("250 queued\r\n");
  assert.equal(await ends.client.reply(), "250 queued");
  assert.match(await ends.client.reply(), /^421 4\.3\.2 /);
  ends.remote.socket.end();
  await closed;
  await assert.rejects(SmtpClient.connect(ends.gateway.port()), /ECONNREFUSED/);
});

test("a gateway that stops cuts sessions that are not finished within its grace time", async (t) => {
  const ends = await joined(t);
  await intoData(ends);
  await ends.gateway.close(50);
  await ends.client.untilClosed();
  assert.equal((await lost(ends.gateway)).result, "lost");
});
