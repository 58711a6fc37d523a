import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { startTestIngress, type TestIngress } from "../support/ingress.ts";
import { type SmtpPeer, type SmtpPeerOptions, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

/** The client's server, unprotected, behind a gateway. */
async function behindGateway(
  t: { after(end: () => Promise<void>): void },
  outgoing: object = {},
  peer: SmtpPeerOptions = {},
): Promise<{ gateway: TestIngress; server: SmtpPeer }> {
  const server = await startSmtpPeer({ address: "127.0.0.2", ...peer });
  const gateway = await startTestIngress({ outgoing });
  t.after(async () => {
    await gateway.close(0);
    await server.stop();
  });
  return { gateway, server };
}

test("with permit the session reaches the server that the client named, unchanged", async (t) => {
  const { gateway, server } = await behindGateway(
    t,
    {},
    { script: { connect: () => "220 far.test ESMTP its own greeting" } },
  );
  const client = await gateway.connect(server);
  assert.equal(await client.reply(), "220 far.test ESMTP its own greeting");
  assert.match(await client.command("EHLO client.example"), /^250-peer\.test/);
  client.write("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@far.test>\r\nDATA\r\n");
  await client.reply();
  await client.reply();
  assert.match(await client.reply(), /^354/);
  const body = "Subject: \xe9\r\n\r\nbare\nline\rends\0\r\n..\r\n";
  client.write(Buffer.from(`${body}.\r\n`, "latin1"));
  assert.equal(await client.reply(), "250 2.0.0 queued");
  assert.equal(await client.command("QUIT"), "221 2.0.0 bye");
  await client.untilClosed();
  const [message] = server.received;
  assert.equal(message?.data.toString("latin1"), body.replace("..", "."));
  assert.equal(message?.helo, "client.example");
  await waitFor("the session's end is logged", () => gateway.events("session.close").length === 1);
  assert.equal(gateway.drafts, 0);
});

test("the log shows the session: opened, classified, its transaction, its end", async (t) => {
  const { gateway, server } = await behindGateway(t);
  const client = await gateway.connect(server);
  await client.reply();
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<a@client.example>");
  await client.command("RCPT TO:<b@far.test>");
  await client.command("DATA");
  client.write("Subject: x\r\n\r\nhello\r\n");
  await client.command(".");
  await client.command("QUIT");
  await client.untilClosed();
  await waitFor("the session's end is logged", () => gateway.events("session.close").length === 1);
  const [open] = gateway.events("session.open");
  const [classified] = gateway.events("session.classified");
  const [transaction] = gateway.events("proxy.transaction");
  const [close] = gateway.events("session.close");
  const address = `127.0.0.2:${server.port}`;
  assert.deepEqual([open?.client, open?.destination, open?.proxy], ["192.0.2.7", address, "127.0.0.1"]);
  assert.deepEqual(
    [classified?.direction, classified?.row, classified?.handler, classified?.setting],
    ["outgoing", "client-server", "outgoing-proxy", "outgoing.client_server"],
  );
  assert.deepEqual(
    {
      ...transaction,
      level: 0,
      time: 0,
      service: 0,
      pid: 0,
      session: 0,
    },
    {
      level: 0,
      time: 0,
      service: 0,
      pid: 0,
      session: 0,
      event: "proxy.transaction",
      client: "192.0.2.7",
      server: address,
      reversePath: "a@client.example",
      accepted: { count: 1, addresses: ["b@far.test"] },
      refused: { count: 0, recipients: [] },
      octets: 21,
      result: "accepted",
      reply: "250 2.0.0 queued",
    },
  );
  assert.deepEqual([close?.how, close?.transactions], ["server-closed", { accepted: 1 }]);
  assert.ok(Number(close?.octetsToServer) > 100 && Number(close?.octetsToClient) > 100);
  assert.equal(new Set([open, classified, transaction, close].map((line) => line?.session)).size, 1);
});

test("credentials pass and are never logged", async (t) => {
  const { gateway, server } = await behindGateway(t, { require_auth: true }, { users: { ann: "s3cret" } });
  const client = await gateway.connect(server);
  await client.reply();
  await client.command("EHLO client.example");
  assert.match(await client.command("MAIL FROM:<a@client.example>"), /^530 5\.7\.0/);
  assert.match(await client.command("AUTH LOGIN"), /^334/);
  assert.match(await client.command(Buffer.from("ann").toString("base64")), /^334/);
  assert.match(await client.command(Buffer.from("s3cret").toString("base64")), /^235/);
  assert.match(await client.command("MAIL FROM:<a@client.example>"), /^250/);
  await client.command("QUIT");
  await client.untilClosed();
  await waitFor("the session's end is logged", () => gateway.events("session.close").length === 1);
  assert.ok(server.commands.some((line) => line.includes("MAIL FROM")));
  assert.equal(server.commands.filter((line) => line.includes("MAIL FROM")).length, 1);
  const log = JSON.stringify(gateway.log);
  assert.ok(!log.includes(Buffer.from("s3cret").toString("base64")) && !log.includes("s3cret"));
});

test("with STARTTLS stripped it is neither offered nor reached", async (t) => {
  const { gateway, server } = await behindGateway(
    t,
    { starttls: "strip" },
    { extensions: ["SIZE 1000", "STARTTLS"] },
  );
  const client = await gateway.connect(server);
  await client.reply();
  assert.equal(await client.command("EHLO client.example"), "250-peer.test at your service\n250 SIZE 1000");
  client.write("NOOP\r\nSTARTTLS\r\nNOOP\r\n");
  assert.deepEqual(
    [await client.reply(), (await client.reply()).slice(0, 9), await client.reply()],
    ["250 2.0.0 ok", "502 5.5.1", "250 2.0.0 ok"],
  );
  client.close();
  assert.ok(!server.commands.some((line) => line.includes("STARTTLS")));
});

test("with xclient: refuse the server's XCLIENT is neither offered nor reached, otherwise it passes", async (t) => {
  for (const [xclient, shown, answer] of [
    ["refuse", "250-peer.test at your service\n250 SIZE 1000", /^502 5\.5\.1/],
    ["pass", "250-peer.test at your service\n250-SIZE 1000\n250 XCLIENT NAME ADDR", /^5/],
  ] as const) {
    const { gateway, server } = await behindGateway(
      t,
      { xclient },
      { extensions: ["SIZE 1000", "XCLIENT NAME ADDR"] },
    );
    const client = await gateway.connect(server);
    await client.reply();
    assert.equal(await client.command("EHLO client.example"), shown);
    assert.match(await client.command("XCLIENT ADDR=192.0.2.1"), answer);
    client.close();
    assert.equal(
      server.commands.some((line) => line.includes("XCLIENT")),
      xclient === "pass",
    );
  }
});

test("the log says at the start what require_auth cannot see", async (t) => {
  const warnings = (gateway: TestIngress) =>
    gateway.log.filter(({ message }) => `${message}`.startsWith("outgoing.require_auth: ")).length;
  const { gateway } = await behindGateway(t, { require_auth: true });
  assert.equal(warnings(gateway), 1);
  const stripping = await behindGateway(t, { require_auth: true, starttls: "strip" });
  assert.equal(warnings(stripping.gateway), 0);
});

test("with insist the same client is greeted by the gateway, and the server sees nothing", async (t) => {
  const { gateway, server } = await behindGateway(t, { client_server: "insist" });
  const client = await gateway.connect(server);
  assert.match(await client.reply(), /^220 gw\.example\.net/);
  client.close();
  assert.equal(server.connections, 0);
});

test("with the server down the client's connection is dropped without a reply, and nothing is queued", async (t) => {
  const { gateway, server } = await behindGateway(t);
  await server.stop();
  const client = await gateway.connect(server);
  assert.equal(await client.untilClosed(), "");
  const [close] = await waitFor("the end is logged", () => gateway.events("session.close"));
  assert.match(String(close?.reason), /cannot be reached: ECONNREFUSED/);
  assert.equal(gateway.drafts, 0);
});

test("with the server down and on_failure: 421 the client gets 421 first", async (t) => {
  const { gateway, server } = await behindGateway(t, { on_failure: "421" });
  await server.stop();
  const client = await gateway.connect(server);
  client.write("EHLO early.example\r\n");
  assert.match(await client.untilClosed(), /^421 4\.4\.1 [^\r\n]+\r\n$/);
});

test("a server that does not answer is given up after timeouts.connect", async (t) => {
  const full = await fullServer(t);
  const gateway = await startTestIngress({ timeouts: { connect: "200ms" }, outgoing: { on_failure: "421" } });
  t.after(() => gateway.close(0));
  const client = await gateway.connect(full);
  assert.match(await client.untilClosed(), /^421 4\.4\.1 /);
  assert.match(String(gateway.events("session.close")[0]?.reason), /no answer within 0.2 s/);
});

/** A server that does not answer SYNs: a thread that sleeps in front of a full accept queue. */
async function fullServer(t: {
  after(end: () => Promise<void>): void;
}): Promise<{ address: string; port: number }> {
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const server = require("node:net").createServer();
     server.listen({ port: 0, host: "127.0.0.2", backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true },
  );
  const port = await new Promise<number>((resolve) => worker.once("message", resolve));
  const clients = Array.from({ length: 4 }, () => net.connect(port, "127.0.0.2").on("error", () => {}));
  await waitFor("its queue is full", () => clients.filter((client) => !client.connecting).length >= 2);
  t.after(async () => {
    for (const client of clients) client.destroy();
    await worker.terminate();
  });
  return { address: "127.0.0.2", port };
}
