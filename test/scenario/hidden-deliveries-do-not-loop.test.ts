import assert from "node:assert/strict";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { outcomes, servers, summary, testMessage, testTransport } from "../support/smtp-client-fixture.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

async function send(port: number): Promise<void> {
  const client = await SmtpClient.connect(port);
  await client.reply();
  for (const line of ["EHLO client.test", "MAIL FROM:<s@sender.test>", "RCPT TO:<u@prot.test>", "DATA"])
    assert.match(await client.command(line), /^(?:250|354)/);
  client.write("Subject: x\r\n\r\nhello\r\n.\r\n");
  assert.match(await client.reply(), /^250 /);
  await client.command("QUIT");
  client.close();
}

const count = (gateway: Gateway, name: string) => gateway.log().filter(({ event }) => event === name).length;

/** Sends one message and waits for the second attempt: neither may come back to the gateway as a message. */
async function assertWaits(gateway: Gateway, reason: RegExp): Promise<void> {
  await send(gateway.port);
  await waitFor("two attempts of the queue", () => count(gateway, "delivery.deferred") >= 2);
  assert.equal(count(gateway, "message.accepted"), 1);
  await waitFor("the queue to say why", async () => reason.test(`${(await gateway.queue())[0]?.reason}`));
}

/** Passes connections on to a port of 127.0.0.1 as they are: as the NAT in front of a gateway does. */
async function startForwarder(t: TestContext, port: number): Promise<{ port: number }> {
  const sockets = new Set<net.Socket>();
  const forwarder = net.createServer((client) => {
    const server = net.connect(port, "127.0.0.1");
    sockets.add(client).add(server);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on("error", () => to.destroy());
      from.pipe(to);
    }
  });
  forwarder.listen(0, "127.0.0.1");
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => forwarder.close(resolve));
  });
  await new Promise((resolve) => forwarder.once("listening", resolve));
  return { port: (forwarder.address() as net.AddressInfo).port };
}

test("mail for a hidden protected server that is the gateway itself waits, and does not go round", async (t) => {
  const port = await freePort();
  const gateway = await startGateway({
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self" }],
    protected: [{ domains: ["prot.test"], servers: [`127.0.0.1:${port}`], hide: true }],
  });
  t.after(() => gateway.stop());
  await assertWaits({ ...gateway, port }, /^the configured server 127\.0\.0\.1:\d+ is this gateway itself/);
});

test("mail for a hidden protected server whose address is translated to the gateway's does not go round", async (t) => {
  const port = await freePort();
  const nat = await startForwarder(t, port);
  const gateway = await startGateway({
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self" }],
    protected: [{ domains: ["prot.test"], servers: [`127.0.0.1:${nat.port}`], hide: true }],
  });
  t.after(() => gateway.stop());
  await assertWaits(
    { ...gateway, port },
    /^\[127\.0\.0\.1\] is this gateway itself, it greets as gw\.example\.net: the mail would loop back$/,
  );
});

test("a server that greets with the gateway's name is another one, and so is another gateway", async (t) => {
  for (const greeting of ["220 gw.example.net ESMTP Postfix", "220 gw2.example.net ESMTP Postern"]) {
    const peer = await startSmtpPeer({ script: { connect: () => greeting } });
    t.after(() => peer.stop());
    const transport = testTransport();
    t.after(() => transport.close(0));
    const hidden = { ...servers(peer), hide: true };
    assert.deepEqual(
      (await outcomes(transport, hidden, testMessage())).map(summary),
      ["delivered"],
      greeting,
    );
  }
});
