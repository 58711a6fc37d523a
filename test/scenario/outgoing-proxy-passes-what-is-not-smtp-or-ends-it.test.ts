import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { someClient, startTestIngress, type TestIngress } from "../support/ingress.ts";
import { proxyV1 } from "../support/proxy-header.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const certificate = selfSignedCertificate("far.test");

/** A server that speaks TLS from the first octet, and the gateway in front of it, which knows it by the PROXY header. */
async function implicitTls(
  t: { after(end: () => Promise<void>): void },
  given: object,
  options: Parameters<typeof startTestIngress>[1] = {},
): Promise<{ gateway: TestIngress; server: net.AddressInfo; connections: () => number }> {
  let connections = 0;
  const listening = tls.createServer({ cert: certificate.cert, key: certificate.key }, (socket) => {
    connections++;
    socket.on("error", () => {});
    socket.write("220 far.test\r\n");
    socket.on("data", () => socket.end("221 bye\r\n"));
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.2", resolve));
  const server = listening.address() as net.AddressInfo;
  const gateway = await startTestIngress(
    JSON.parse(JSON.stringify(given).replace('"PORT"', String(server.port))),
    options,
  );
  t.after(async () => {
    await gateway.close(0);
    await new Promise<void>((resolve) => listening.close(() => resolve()));
  });
  return { gateway, server, connections: () => connections };
}

function connectTls(
  gateway: TestIngress,
  server: net.AddressInfo,
): { socket: net.Socket; secure: tls.TLSSocket } {
  const socket = net.connect(gateway.port(), "127.0.0.1");
  socket.write(proxyV1(someClient, server));
  const secure = tls.connect({ socket, ca: certificate.cert, servername: "far.test" });
  return { socket, secure };
}

test("a client that speaks TLS from the first octet reaches its server behind a PROXY header, and is counted as not inspected", async (t) => {
  const metrics = createMetrics("ingress");
  const { gateway, server } = await implicitTls(t, {}, { metrics });
  const { secure } = connectTls(gateway, server);
  let received = "";
  secure.on("data", (chunk) => {
    received += chunk;
  });
  await waitFor("the greeting comes through TLS", () => received.startsWith("220 far.test"));
  secure.end("QUIT\r\n");
  const close = await waitFor("the end is logged", () => gateway.events("session.close")[0]);
  assert.equal(close.notInspected, "not-smtp");
  assert.match(await metrics.text(), /proxy_not_inspected_total\{reason="not-smtp"[^}]*\} 1\n/);
});

test("a port of pass_ports is tunnelled behind a PROXY header too, whatever policy is in force", async (t) => {
  const { gateway, server } = await implicitTls(t, {
    intercept: { pass_ports: ["PORT"] },
    outgoing: { require_auth: true, starttls: "strip" },
  });
  const { secure } = connectTls(gateway, server);
  await new Promise<void>((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject));
  secure.end();
  const [classified] = gateway.events("session.classified");
  assert.deepEqual([classified?.handler, classified?.setting], ["tunnel", "intercept.pass_ports"]);
  await waitFor("the end is logged", () => gateway.events("session.close")[0]);
});

test("with a policy in force TLS from the first octet ends the session: logged, counted, and the server gets none of it", async (t) => {
  const metrics = createMetrics("ingress");
  const { gateway, server, connections } = await implicitTls(
    t,
    { outgoing: { require_auth: true } },
    { metrics },
  );
  const { secure } = connectTls(gateway, server);
  await new Promise<void>((resolve) => secure.once("error", () => resolve()));
  const close = await waitFor("the end is logged", () => gateway.events("session.close")[0]);
  assert.deepEqual([close.reason, close.octetsToServer, connections()], ["not-smtp", 0, 0]);
  assert.match(await metrics.text(), /proxy_sessions_ended_total\{reason="not-smtp"[^}]*\} 1\n/);
});

test("a PROXY header of the client's own reaches its server without a policy, and ends the session with one", async (t) => {
  const own = "PROXY TCP4 192.0.2.9 192.0.2.1 4000 25\r\n";
  for (const [outgoing, ends] of [
    [{}, false],
    [{ xclient: "refuse" }, true],
  ] as const) {
    const received: string[] = [];
    const listening = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        received.push(chunk.toString());
        socket.write("220 far.test\r\n");
      });
      socket.on("end", () => socket.end());
    });
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.2", resolve));
    const gateway = await startTestIngress({ outgoing });
    t.after(async () => {
      await gateway.close(0);
      await new Promise<void>((resolve) => listening.close(() => resolve()));
    });
    const client = await gateway.connect(listening.address() as net.AddressInfo);
    client.write(own);
    if (ends) assert.match(await client.untilClosed(), /^421 4\.7\.0 /);
    else assert.equal(await client.reply(), "220 far.test");
    client.close();
    const close = await waitFor("the end is logged", () => gateway.events("session.close")[0]);
    assert.deepEqual(
      [close.reason, close.notInspected],
      ends ? ["not-smtp", undefined] : [undefined, "not-smtp"],
    );
    assert.deepEqual(received, ends ? [] : [own]);
  }
});

test("with a rate in force a message with a line that Postfix may take for its end is refused, and nothing behind it arrives", async (t) => {
  const server = await startSmtpPeer({ address: "127.0.0.2" });
  const gateway = await startTestIngress({ limits: { clients: { rate: "100/1m" } } });
  t.after(async () => {
    await gateway.close(0);
    await server.stop();
  });
  const client = await gateway.connect(server);
  await client.reply();
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<a@client.example>");
  await client.command("RCPT TO:<b@far.test>");
  await client.command("DATA");
  client.write("Subject: x\r\n\r\nhello\n.\nMAIL FROM:<smuggled@client.example>\r\n");
  assert.match(await client.untilClosed(), /^550 5\.5\.2 [^\r\n]*\r\n$/);
  const close = await waitFor("the end is logged", () => gateway.events("session.close")[0]);
  assert.deepEqual([close.reason, close.transactions], ["unclear-end-of-data", { refused: 1 }]);
  assert.deepEqual(
    [server.received.length, server.commands.some((line) => line.includes("smuggled"))],
    [0, false],
  );
});
