import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createAuthentication } from "../../services/ingress/auth/authentication.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { testConfig } from "../support/config.ts";
import { openData, startQueuedSessions } from "../support/queued-sessions.ts";
import type { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, type SmtpPeerOptions, startSmtpPeer } from "../support/smtp-peer.ts";
import { startTls } from "../support/start-tls.ts";
import { plainResponse } from "../support/users.ts";

const certificate = selfSignedCertificate("gw.example.net");

async function startServer(t: TestContext, options: SmtpPeerOptions): Promise<SmtpPeer> {
  const server = await startSmtpPeer({ address: "127.0.0.2", tls: certificate, ...options });
  t.after(() => server.stop());
  return server;
}

/** Sessions for a client that may not relay, where users of example.com log in at these servers. */
async function startSite(t: TestContext, servers: SmtpPeer[], tls: "may" | "require" = "require") {
  const directory = mkdtempSync(join(tmpdir(), "postern-auth-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  writeFileSync(files.cert, certificate.cert);
  writeFileSync(files.key, certificate.key);
  const config = {
    data: directory,
    tls: files,
    auth: { servers: true as const },
    protected: [
      { domains: ["example.com"], servers: servers.map(({ address, port }) => `${address}:${port}`), tls },
    ],
  };
  const authentication = createAuthentication({
    config: testConfig(config),
    log: createLogger("auth", { write() {} }),
    smtpClient: { extraCa: [certificate.cert] },
  });
  if (authentication === undefined) throw new Error("auth is configured");
  const gateway = await startQueuedSessions({
    client: "192.0.2.99",
    config,
    pause: async () => {},
    authenticator: authentication.authenticator,
  });
  t.after(async () => {
    await gateway.close();
    await authentication.close();
  });
  return {
    gateway,
    failures: () => gateway.log.filter(({ event }) => event === "auth.failed"),
    async secure(): Promise<SmtpClient> {
      const plain = await gateway.connect();
      await plain.command("EHLO client.example");
      const { client } = await startTls(t, plain);
      await client.command("EHLO client.example");
      return client;
    },
  };
}

test("whoever can log in at the domain's server may relay; the server sees one login under TLS, and no mail", async (t) => {
  const server = await startServer(t, { users: { "ann@example.com": "open sesame" } });
  const { gateway, secure } = await startSite(t, [server]);
  const client = await secure();
  const reply = await client.command(`AUTH PLAIN ${plainResponse("ann@example.com", "open sesame")}`);
  assert.match(reply, /^235 2\.7\.0 /);
  const verbs = server.commands.map((line) => line.split(" ")[1]).filter((verb) => verb !== "QUIT");
  assert.deepEqual(verbs, ["EHLO", "STARTTLS", "EHLO", "AUTH"]);
  await openData(client);
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^250 2\.0\.0 /);
  assert.equal(gateway.accepted[0]?.meta.origin?.user, "ann@example.com");
});

test("a password that the server refuses is 535 5.7.8, and counts", async (t) => {
  const server = await startServer(t, { users: { "ann@example.com": "open sesame" } });
  const { secure, failures } = await startSite(t, [server]);
  const client = await secure();
  assert.match(
    await client.command(`AUTH PLAIN ${plainResponse("ann@example.com", "swordfish")}`),
    /^535 5\.7\.8 /,
  );
  assert.equal(failures()[0]?.user, "ann@example.com");
  assert.match(
    await client.command(`AUTH PLAIN ${plainResponse("ann@elsewhere.example", "open sesame")}`),
    /^535 5\.7\.8 /,
  );
  assert.equal(server.connections, 1, "nobody asks a server about other domains");
});

test("a server that is away, or says later, leaves the question to the next; with none left it is 454 4.7.0", async (t) => {
  const away = await startServer(t, {});
  await away.stop();
  const busy = await startServer(t, {
    address: "127.0.0.3",
    users: {},
    script: { auth: (_mechanism, _user, password) => `454 4.7.0 not now, ${password}` },
  });
  const good = await startServer(t, { address: "127.0.0.4", users: { "ann@example.com": "open sesame" } });
  const login = `AUTH PLAIN ${plainResponse("ann@example.com", "open sesame")}`;
  const site = await startSite(t, [away, busy, good]);
  assert.match(await (await site.secure()).command(login), /^235 /);
  const worse = await startSite(t, [away, busy]);
  const client = await worse.secure();
  for (let i = 0; i < 12; i++)
    assert.match(await client.command(login), /^454 4\.7\.0 /, "no failure of the user");
  assert.match(String(worse.failures()[0]?.reason), /^\[127\.0\.0\.3\] said 454 4\.7\.0 in reply to AUTH$/);
  assert.doesNotMatch(JSON.stringify(worse.gateway.log), /open sesame/, "whatever a server says");
});

test("a password never goes to a server in clear text", async (t) => {
  const server = await startSmtpPeer({ address: "127.0.0.2", users: { "ann@example.com": "open sesame" } });
  t.after(() => server.stop());
  const { secure } = await startSite(t, [server]);
  const client = await secure();
  assert.match(
    await client.command(`AUTH PLAIN ${plainResponse("ann@example.com", "open sesame")}`),
    /^454 4\.7\.0 /,
  );
  assert.doesNotMatch(server.commands.join("\n"), /AUTH/);
});
