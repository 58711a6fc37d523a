import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { someClient, startTestIngress, type TestIngress, transparent } from "../support/ingress.ts";
import { extension, proxyV1, proxyV2 } from "../support/proxy-header.ts";
import { startRawServer } from "../support/raw-server.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

async function behindGateway(
  t: TestContext,
  listener: object = {},
  address = "127.0.0.2",
): Promise<{ gateway: TestIngress; server: SmtpPeer }> {
  const server = await startSmtpPeer({ address });
  const gateway = await startTestIngress({ listeners: [transparent(listener)] });
  t.after(async () => {
    await gateway.close(0);
    await server.stop();
  });
  return { gateway, server };
}

const client6 = { address: "2001:db8::7", port: 40_000 };

test("PROXY headers of both versions lead to the server that they name", async (t) => {
  const { gateway, server } = await behindGateway(t);
  const headers = [
    proxyV1(someClient, server),
    proxyV2({ client: someClient, destination: server }),
    proxyV2({
      client: someClient,
      destination: server,
      checksum: "right",
      extensions: [extension(0x20, "x")],
    }),
  ];
  for (const header of headers) {
    const client = await SmtpClient.connect(gateway.port());
    client.write(header);
    assert.equal(await client.reply(), "220 peer.test ESMTP");
    client.close();
  }
  for (const open of gateway.events("session.open")) {
    assert.deepEqual([open.client, open.clientPort], [someClient.address, someClient.port]);
  }
  assert.equal(gateway.events("session.open").length, 3);
});

test("and over IPv6, where the client and its server speak it", async (t) => {
  // ::1 is an address of the gateway; a protected server there is incoming all the same, and passed on.
  const server = await startSmtpPeer({ address: "::1" });
  const gateway = await startTestIngress({
    listeners: [transparent({ pickup: { incoming: "pass" }, address: "::1", trusted_proxies: ["::1"] })],
    protected: [{ domains: ["example.com"], servers: [`[::1]:${server.port}`] }],
  });
  t.after(async () => {
    await gateway.close(0);
    await server.stop();
  });
  for (const header of [proxyV1(client6, server), proxyV2({ client: client6, destination: server })]) {
    const client = await SmtpClient.connect(gateway.port(), "::1");
    client.write(header);
    assert.equal(await client.reply(), "220 peer.test ESMTP");
    client.close();
  }
  const [open] = gateway.events("session.open");
  assert.deepEqual([open?.client, open?.destination], ["2001:db8::7", `[::1]:${server.port}`]);
});

test("a header that comes octet by octet, with the client's first words in its last packet", async (t) => {
  const { gateway, server } = await behindGateway(t);
  const client = await SmtpClient.connect(gateway.port());
  client.socket.setNoDelay(true);
  const header = proxyV2({ client: someClient, destination: server });
  for (const octet of header.subarray(0, -1)) {
    await new Promise<void>((resolve) => client.socket.write(Buffer.of(octet), () => resolve()));
  }
  client.write(Buffer.concat([header.subarray(-1), Buffer.from("EHLO early.example\r\nNOOP\r\n")]));
  assert.equal(await client.reply(), "220 peer.test ESMTP");
  assert.match(await client.reply(), /^250-peer\.test/);
  assert.equal(await client.reply(), "250 2.0.0 ok");
  client.close();
});

test("LOCAL and UNKNOWN mean the gateway itself", async (t) => {
  const { gateway } = await behindGateway(t);
  for (const header of ["PROXY UNKNOWN\r\n", proxyV2({ command: 0, family: 0 })]) {
    const client = await SmtpClient.connect(gateway.port());
    client.write(header);
    assert.match(await client.reply(), /^220 gw\.example\.net/);
    client.close();
  }
  for (const line of gateway.events("session.classified")) assert.equal(line.direction, "local");
});

test("a header that is none ends the connection with no greeting", async (t) => {
  const { gateway, server } = await behindGateway(t);
  for (const octets of [
    "EHLO client.example\r\n",
    "PROXY TCP4 1.2.3.4\r\n",
    proxyV2({ client: someClient, destination: server, checksum: "wrong" }),
  ]) {
    const client = await SmtpClient.connect(gateway.port());
    client.write(octets);
    assert.equal(await client.untilClosed(), "");
  }
  const refused = await waitFor("three warnings", () => {
    const lines = gateway.events("session.refused");
    return lines.length === 3 && lines;
  });
  for (const line of refused) assert.deepEqual([line.level, line.cause], ["warn", "malformed-header"]);
  assert.equal(server.connections, 0);
});

test("a peer that is not trusted gets nothing, whatever it sends", async (t) => {
  const { gateway, server } = await behindGateway(t, { trusted_proxies: ["127.0.0.9"] });
  const client = await gateway.connect(server);
  assert.equal(await client.untilClosed(), "");
  const line = await waitFor("a warning", () => gateway.events("session.refused")[0]);
  assert.deepEqual([line.level, line.cause, line.client], ["warn", "untrusted-proxy", "127.0.0.1"]);
  assert.equal(server.connections, 0);
});

test("a listener that is meant itself needs no header, and :: takes IPv4 clients as such", async (t) => {
  const gateway = await startTestIngress({ listeners: [{ name: "submission", address: "::", port: 0 }] });
  t.after(() => gateway.close(0));
  for (const host of ["127.0.0.1", "::1"]) {
    const client = await SmtpClient.connect(gateway.port("submission"), host);
    assert.match(await client.reply(), /^220 gw\.example\.net/);
    client.close();
  }
  assert.deepEqual(
    gateway.events("session.open").map((line) => line.client),
    ["127.0.0.1", "::1"],
  );
});

test("a connection to one of own_addresses, a balancer's say, is local", async (t) => {
  const gateway = await startTestIngress({ own_addresses: ["192.0.2.77", "2001:db8:0::77"] });
  t.after(() => gateway.close(0));
  for (const [address, client] of [
    ["192.0.2.77", someClient],
    ["2001:db8::77", { address: "2001:db8::7", port: 40_000 }],
  ] as const) {
    const session = await gateway.connect({ address, port: 25 }, client);
    assert.match(await session.reply(), /^220 gw\.example\.net/);
    session.close();
  }
  assert.deepEqual(
    gateway.events("session.classified").map(({ direction }) => direction),
    ["local", "local"],
  );
});

test("all listeners start or none does, and the reason is one sentence", async (t) => {
  const other = await startRawServer({ address: "127.0.0.1" });
  t.after(() => other.stop());
  await assert.rejects(
    startTestIngress({ listeners: [transparent(), transparent({ name: "second", port: other.port })] }),
    {
      message: `listener second cannot listen on 127.0.0.1:${other.port}: the port is taken by another program`,
    },
  );
  const ingress = await startTestIngress();
  assert.deepEqual(await ingress.health(), { ready: true, reasons: [] });
  await ingress.close(0);
  assert.deepEqual(await ingress.health(), {
    ready: false,
    reasons: ["listener transparent does not listen"],
  });
});

test("two ingress processes share a port, and one goes on when the other has ended", async (t) => {
  const submission = { name: "submission", address: "127.0.0.1", destination: "self" as const };
  const first = await startTestIngress({ listeners: [{ ...submission, port: 0 }] });
  t.after(() => first.close(0));
  const port = first.port("submission");
  const second = await startTestIngress({ listeners: [{ ...submission, port }] });
  t.after(() => second.close(0));
  const count = (gateway: TestIngress) => gateway.events("session.open").length;
  const greet = async () => {
    const client = await SmtpClient.connect(port);
    assert.match(await client.reply(), /^220 /);
    client.close();
  };
  // The kernel chooses by a hash of the client's port: that all of forty go to one of two is once in 10^11.
  for (let i = 0; i < 40; i++) await greet();
  assert.ok(count(first) > 0 && count(second) > 0, `${count(first)} and ${count(second)}`);
  await first.close(0);
  const before = count(second);
  for (let i = 0; i < 10; i++) await greet();
  assert.equal(count(second) - before, 10);
});
