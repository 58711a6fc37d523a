/** The seed scenario: a client behind the gateway names 127.0.0.2 as its server, which is not protected. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startDnsZone } from "../support/dns-zone.ts";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { unlessInstalled, unlessRoot } from "../support/programs.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessInstalled("redis-server");

/** A gateway whose listener learns from a PROXY header where the client meant to go. */
async function startOffice(
  given: Parameters<typeof startGateway>[0],
): Promise<{ gateway: Gateway; proxyPort: number }> {
  const proxyPort = await freePort();
  const gateway = await startGateway({
    listeners: [
      {
        name: "transparent",
        address: "127.0.0.1",
        port: proxyPort,
        destination: "proxy",
        trusted_proxies: ["127.0.0.1"],
      },
    ],
    ...given,
  });
  return { gateway, proxyPort };
}

/** Connects as the client 127.0.0.1 who named `server` as its SMTP server. */
async function connectTo(server: string, port: number, proxyPort: number): Promise<SmtpClient> {
  const client = await SmtpClient.connect(proxyPort);
  client.write(`PROXY TCP4 127.0.0.1 ${server} 40000 ${port}\r\n`);
  return client;
}

async function sendThrough(client: SmtpClient, to: string): Promise<string> {
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<anna@sender.example>");
  await client.command(`RCPT TO:<${to}>`);
  await client.command("DATA");
  const reply = await client.command("Subject: hello\r\n\r\nhello\r\n.");
  await client.command("QUIT");
  return reply;
}

describe("a client that names an unprotected server", { skip }, () => {
  test("with permit reaches that server unchanged; with that server down it is dropped, with nothing in any queue", async (t) => {
    const { gateway, proxyPort } = await startOffice({});
    t.after(() => gateway.stop());
    const named = await startSmtpPeer({
      address: "127.0.0.2",
      script: { connect: () => "220 named.example its own greeting" },
    });
    const { port } = named;
    const client = await connectTo("127.0.0.2", port, proxyPort);
    t.after(() => client.close());
    assert.equal(await client.reply(), "220 named.example its own greeting");
    await sendThrough(client, "bert@elsewhere.example");
    assert.equal(named.received.length, 1);
    assert.equal(named.received[0]?.helo, "client.example");
    assert.doesNotMatch(named.received[0]?.data.toString() ?? "", /^Received:/m);

    await named.stop();
    const dropped = await connectTo("127.0.0.2", port, proxyPort);
    t.after(() => dropped.close());
    assert.equal(await dropped.untilClosed(), "");
    assert.deepEqual(await gateway.queue(), []);
  });

  test("with insist is queued and goes by relay host, never to that server", async (t) => {
    const [named, relay] = [await startSmtpPeer({ address: "127.0.0.2" }), await startSmtpPeer({})];
    t.after(() => Promise.all([named.stop(), relay.stop()]));
    const { gateway, proxyPort } = await startOffice({
      outgoing: { client_server: "insist" },
      relay: { hosts: { isp: { host: relay.address, port: relay.port } }, routes: [{ to: "*", via: "isp" }] },
    });
    t.after(() => gateway.stop());
    const client = await connectTo("127.0.0.2", named.port, proxyPort);
    t.after(() => client.close());
    assert.match(await client.reply(), /^220 gw\.example\.net /);
    assert.match(await sendThrough(client, "bert@elsewhere.example"), /^250 2\.0\.0 /);
    await waitFor("the message to arrive at the relay host", () => relay.received.length === 1);
    assert.equal(named.connections, 0);
  });

  test("with insist and no route is queued and goes by MX, never to that server", {
    skip: unlessRoot(),
  }, async (t) => {
    const named = await startSmtpPeer({ address: "127.0.0.2" });
    const exchange = await startSmtpPeer({ address: "127.0.25.5", port: 25 });
    const zone = await startDnsZone({
      "elsewhere.example": { MX: [[5, "mx.elsewhere.example"]] },
      "mx.elsewhere.example": { A: ["127.0.25.5"] },
    });
    t.after(() => Promise.all([named.stop(), exchange.stop(), zone.stop()]));
    const { gateway, proxyPort } = await startOffice({
      outgoing: { client_server: "insist" },
      dns: { servers: [zone.server] },
    });
    t.after(() => gateway.stop());
    const client = await connectTo("127.0.0.2", named.port, proxyPort);
    t.after(() => client.close());
    await client.reply();
    assert.match(await sendThrough(client, "bert@elsewhere.example"), /^250 2\.0\.0 /);
    await waitFor("the message to arrive at the MX", () => exchange.received.length === 1);
    assert.equal(named.connections, 0);
  });
});
