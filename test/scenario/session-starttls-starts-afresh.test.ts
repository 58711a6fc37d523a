import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { selfSignedCertificate } from "../support/certificate.ts";
import { openData, startQueuedSessions } from "../support/queued-sessions.ts";
import { startTls } from "../support/start-tls.ts";
import { waitFor } from "../support/wait-for.ts";

/** Sessions with a certificate for gw.example.net, and another for other.example.net by SNI. */
async function startTlsGateway(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "postern-tls-"));
  const write = (name: string) => {
    const { cert, key } = selfSignedCertificate(`${name}.example.net`);
    const paths = { cert: join(directory, `${name}.cert`), key: join(directory, `${name}.key`) };
    writeFileSync(paths.cert, cert);
    writeFileSync(paths.key, key);
    return paths;
  };
  const gateway = await startQueuedSessions({
    config: { tls: { ...write("gw"), sni: { "other.example.net": write("other") } } },
  });
  rmSync(directory, { recursive: true });
  t.after(() => gateway.close());
  return gateway;
}

test("mail comes over TLS, and Received says so", async (t) => {
  const gateway = await startTlsGateway(t);
  const plain = await gateway.connect();
  assert.match(await plain.command("EHLO client.example"), /\n250-STARTTLS\n/);
  await plain.command("MAIL FROM:<forgotten@example.org>");
  const { client, socket } = await startTls(t, plain);
  assert.match(await client.command("MAIL FROM:<me@example.org>"), /^503 5\.5\.1 /, "EHLO is forgotten");
  assert.doesNotMatch(await client.command("EHLO client.example"), /STARTTLS/);
  assert.match(await client.command("STARTTLS"), /^503 5\.5\.1 /);
  await openData(client);
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^250 2\.0\.0 /);
  const meta = gateway.accepted[0]?.meta;
  assert.equal(meta?.envelope.reversePath, "me@example.org");
  assert.equal(meta?.origin?.protocol, "ESMTPS");
  assert.match(meta?.received ?? "", /with ESMTPS id [^;]*\r\n\ttls TLS_\w+ \(TLSv1\.3\);\r\n/);
  assert.match(await client.command("QUIT"), /^221 /);
  await client.untilClosed();
  socket.destroy();
  await waitFor("the session to end", () => gateway.sessions.active === 0);
  assert.equal(gateway.log.find(({ event }) => event === "session.close")?.tls, "TLSv1.3");
  await waitFor("the listener to see the end", () => gateway.closedSockets === 1);
});

test("REQUIRETLS is offered under TLS, and stays with the message; it takes precedence over the header's TLS-Required (RFC 8689 §2, §4.1)", async (t) => {
  const gateway = await startTlsGateway(t);
  const plain = await gateway.connect();
  assert.doesNotMatch(await plain.command("EHLO client.example"), /REQUIRETLS/);
  assert.match(await plain.command("MAIL FROM:<me@example.org> REQUIRETLS"), /^555 5\.5\.4 /);
  const { client } = await startTls(t, plain);
  assert.match(await client.command("EHLO client.example"), /\n250-REQUIRETLS\n/);
  for (const parameter of [" REQUIRETLS", ""]) {
    assert.match(await client.command(`MAIL FROM:<me@example.org>${parameter}`), /^250 /);
    assert.match(await client.command("RCPT TO:<friend@example.org>"), /^250 /);
    assert.match(await client.command("DATA"), /^354 /);
    client.write("Subject: x\r\nTLS-Required: No\r\n\r\nx\r\n.\r\n");
    assert.match(await client.reply(), /^250 2\.0\.0 /);
  }
  assert.deepEqual(
    gateway.accepted.map(({ meta }) => [meta.envelope.requireTls, meta.tlsOptional]),
    [
      [true, undefined],
      [undefined, true],
    ],
  );
});

test("the certificate is the one of the name that the client asks for", async (t) => {
  const gateway = await startTlsGateway(t);
  for (const name of ["gw.example.net", "other.example.net"]) {
    const plain = await gateway.connect();
    await plain.command("EHLO client.example");
    const { socket } = await startTls(t, plain, { servername: name });
    assert.equal(socket.getPeerCertificate().subject.CN, name);
    socket.destroy();
  }
});

test("nothing below TLS 1.2 is negotiated", async (t) => {
  const gateway = await startTlsGateway(t);
  const old = await gateway.connect();
  await old.command("EHLO client.example");
  await assert.rejects(
    startTls(t, old, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }),
  );
  const floor = await gateway.connect();
  await floor.command("EHLO client.example");
  const { socket, client } = await startTls(t, floor, { maxVersion: "TLSv1.2" });
  assert.match(await client.command("NOOP"), /^250 /);
  socket.destroy();
});

test("commands pipelined behind STARTTLS are never run", async (t) => {
  const gateway = await startTlsGateway(t);
  const client = await gateway.connect();
  await client.command("EHLO client.example");
  client.write("STARTTLS\r\nMAIL FROM:<injected@example.org>\r\n");
  assert.match(await client.untilClosed(), /^503 5\.5\.1 [^\n]*\n$/);
});

test("STARTTLS takes no argument", async (t) => {
  const gateway = await startTlsGateway(t);
  const client = await gateway.connect();
  await client.command("EHLO client.example");
  assert.match(await client.command("STARTTLS now"), /^501 5\.5\.4 /);
});

test("a handshake that fails or is cut off ends the session", async (t) => {
  const gateway = await startTlsGateway(t);
  const garbage = await gateway.connect();
  assert.match(await garbage.command("STARTTLS"), /^220 /);
  garbage.write("EHLO this is no TLS\r\n".repeat(10));
  await garbage.untilClosed();
  const cut = await gateway.connect();
  assert.match(await cut.command("STARTTLS"), /^220 /);
  cut.close();
  await waitFor("both sessions to end", () => gateway.sessions.active === 0);
});
