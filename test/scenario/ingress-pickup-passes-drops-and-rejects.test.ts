import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { startTestIngress, type TestIngress, transparent } from "../support/ingress.ts";
import { type RawServer, startRawServer } from "../support/raw-server.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { waitFor } from "../support/wait-for.ts";

async function behindGateway(
  t: TestContext,
  listener: object,
  rest: Parameters<typeof startTestIngress>[0] = {},
): Promise<{ gateway: TestIngress; server: RawServer }> {
  const server = await startRawServer();
  const gateway = await startTestIngress({ ...rest, listeners: [transparent(listener)] });
  t.after(async () => {
    await gateway.close(0);
    await server.stop();
  });
  return { gateway, server };
}

test("pass: a tunnel that reads nothing and passes anything", async (t) => {
  const { gateway, server } = await behindGateway(t, { pickup: { outgoing: "pass" } });
  const client = await gateway.connect(server);
  const remote = await server.next();
  client.write(Buffer.from("\x16\x03\0 no SMTP at all, not even a line"));
  await waitFor("it arrives", () => remote.text.endsWith("not even a line"));
  remote.socket.write("nor here\r\n");
  client.socket.allowHalfOpen = true;
  client.socket.end();
  await waitFor("the end arrives", () => remote.ended);
  remote.socket.end("and the rest");
  assert.equal(await client.untilClosed(), "nor here\r\nand the rest");
  const close = await waitFor("the end is logged", () => gateway.events("session.close")[0]);
  assert.deepEqual([close.how, close.octetsToServer, close.octetsToClient], ["client-closed", 35, 22]);
  const [classified] = gateway.events("session.classified");
  assert.deepEqual([classified?.handler, classified?.setting], ["tunnel", "listeners[0].pickup.outgoing"]);
});

test("pass: the server's end comes first", async (t) => {
  const { gateway, server } = await behindGateway(t, { pickup: { outgoing: "pass" } });
  const client = await gateway.connect(server);
  client.socket.allowHalfOpen = true;
  const remote = await server.next();
  const ended = new Promise<void>((resolve) => client.socket.once("end", () => resolve()));
  remote.socket.end("last words");
  await ended;
  client.socket.end("and mine");
  await waitFor("they arrive", () => remote.ended);
  assert.equal(remote.text, "and mine");
});

test("pass: a tunnel without traffic for timeouts.tunnel ends", async (t) => {
  const { gateway, server } = await behindGateway(
    t,
    { pickup: { outgoing: "pass" } },
    { timeouts: { tunnel: "100ms" } },
  );
  const client = await gateway.connect(server);
  const remote = await server.next();
  await client.untilClosed();
  await waitFor("the server's side too", () => remote.closed || remote.ended);
  const close = await waitFor("the end is logged", () => gateway.events("session.close")[0]);
  assert.equal(close.how, "idle");
});

test("pass: where the server does not answer, the client is reset, as it would be without the gateway", async (t) => {
  const { gateway, server } = await behindGateway(t, { pickup: { outgoing: "pass" } });
  await server.stop();
  const client = await gateway.connect(server);
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => client.socket.once("error", resolve));
  assert.equal(error.code, "ECONNRESET");
  assert.match(String(gateway.events("session.close")[0]?.reason), /ECONNREFUSED/);
});

test("drop: a reset and no greeting", async (t) => {
  const { gateway, server } = await behindGateway(t, { pickup: { outgoing: "drop" } });
  const client = await gateway.connect(server);
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => client.socket.once("error", resolve));
  assert.equal(error.code, "ECONNRESET");
  assert.equal(await client.untilClosed(), "");
  assert.equal(gateway.events("session.classified")[0]?.handler, "drop");
});

test("reject: 554 in place of the greeting, then 503 to all but QUIT (RFC 5321 §3.1)", async (t) => {
  const { gateway } = await behindGateway(t, { pickup: { local: "reject" } });
  const connect = async () => {
    const client = await SmtpClient.connect(gateway.port());
    client.write("PROXY UNKNOWN\r\n");
    assert.match(await client.reply(), /^554 5\.7\.1 gw\.example\.net /);
    return client;
  };
  const polite = await connect();
  assert.match(await polite.command("EHLO a"), /^503 5\.5\.1 /);
  assert.match(await polite.command("MAIL FROM:<a@b>"), /^503 5\.5\.1 /);
  assert.match(await polite.command("QUIT"), /^221 /);
  assert.equal(await polite.untilClosed(), "");
  const stubborn = await connect();
  stubborn.write("NOOP\r\n".repeat(50));
  assert.equal((await stubborn.untilClosed()).split("503 5.5.1").length - 1, 10);
  const endless = await connect();
  endless.write("x".repeat(5000));
  assert.equal(await endless.untilClosed(), "");
});

test("shadow: the log says what would be done, and everything is tunnelled", async (t) => {
  const { gateway, server } = await behindGateway(
    t,
    { shadow: true },
    { outgoing: { client_server: "insist", starttls: "strip" } },
  );
  const client = await gateway.connect(server);
  const remote = await server.next();
  remote.socket.write("220 far.test\r\n");
  assert.equal(await client.reply(), "220 far.test");
  client.write("STARTTLS\r\n");
  await waitFor("it arrives", () => remote.text === "STARTTLS\r\n");
  const [classified] = gateway.events("session.classified");
  assert.deepEqual([classified?.handler, classified?.setting], ["tunnel", "listeners[0].shadow"]);
  assert.deepEqual(classified?.instead, { handler: "queue", row: null, setting: "outgoing.client_server" });
  client.close();
});
