import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { z } from "zod";
import { createAuthentication } from "../../services/ingress/auth/authentication.ts";
import type { configSchema } from "../../shared/config/schema.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import type { SmtpClientOptions } from "../../shared/smtp-client/create-smtp-client.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { testConfig } from "../support/config.ts";
import { openData, startQueuedSessions } from "../support/queued-sessions.ts";
import type { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { startTls } from "../support/start-tls.ts";
import { plainResponse, userLine } from "../support/users.ts";
import { waitFor } from "../support/wait-for.ts";

const stranger = "192.0.2.99";
const right = plainResponse("alice", "open sesame");
const wrong = plainResponse("alice", "swordfish");

/** Sessions with TLS and the users alice ("open sesame") and bob ("x"), for a client that may not relay. */
async function startSite(
  t: TestContext,
  more: Partial<z.input<typeof configSchema>> = {},
  inline?: SmtpClientOptions,
) {
  const directory = mkdtempSync(join(tmpdir(), "postern-auth-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const { cert, key } = selfSignedCertificate("gw.example.net");
  const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  const users = join(directory, "users.txt");
  writeFileSync(users, userLine("alice", "open sesame") + userLine("bob", "x"));
  const config = { tls: files, auth: { users: { file: users } }, ...more };
  const pauses: number[] = [];
  const log: Record<string, unknown>[] = [];
  const authentication = createAuthentication({
    config: testConfig(config),
    log: createLogger("auth", { write: (line) => log.push(JSON.parse(line)) }),
  });
  const gateway = await startQueuedSessions({
    client: stranger,
    config,
    ...(inline === undefined ? {} : { inline }),
    pause: async (ms) => {
      pauses.push(ms);
    },
    ...(authentication === undefined ? {} : { authenticator: authentication.authenticator }),
  });
  t.after(() => gateway.close());
  return {
    gateway,
    users,
    pauses,
    authLog: log,
    events: (name: string) => gateway.log.filter(({ event }) => event === name),
    /** A client under TLS that has said EHLO. */
    async secure(): Promise<{ client: SmtpClient; ehlo: string }> {
      const plain = await gateway.connect();
      await plain.command("EHLO client.example");
      const { client } = await startTls(t, plain);
      return { client, ehlo: await client.command("EHLO client.example") };
    },
  };
}

test("AUTH is offered under TLS only; without it is 538 5.7.11", async (t) => {
  const { gateway, secure } = await startSite(t);
  const plain = await gateway.connect();
  assert.match(await plain.command("AUTH PLAIN"), /^503 5\.5\.1 /, "EHLO comes first");
  assert.doesNotMatch(await plain.command("EHLO client.example"), /AUTH/);
  assert.match(await plain.command(`AUTH PLAIN ${right}`), /^538 5\.7\.11 /);
  assert.match(await plain.command("MAIL FROM:<me@example.com> AUTH=<>"), /^555 5\.5\.4 /);
  const { client, ehlo } = await secure();
  assert.match(ehlo, /\n250-AUTH PLAIN LOGIN\n/);
  assert.match(await client.command("MAIL FROM:<me@example.com> AUTH=<>"), /^250 /);
});

test("nothing is offered without auth, without a certificate, or on a listener without it", async (t) => {
  const listeners = [{ name: "submission", address: "127.0.0.1", port: 0, auth: false }];
  const off = await startSite(t, { listeners });
  const { client, ehlo } = await off.secure();
  assert.doesNotMatch(ehlo, /AUTH/);
  assert.match(await client.command(`AUTH PLAIN ${right}`), /^502 5\.5\.1 /);
  await client.command("MAIL FROM:<me@example.com>");
  assert.match(await client.command("RCPT TO:<friend@example.org>"), /^550 5\.7\.1 Relaying denied$/);
  const bare = await startSite(t, { tls: undefined });
  const plain = await bare.gateway.connect();
  await plain.command("EHLO client.example");
  assert.match(await plain.command(`AUTH PLAIN ${right}`), /^502 5\.5\.1 /);
});

test("who has logged in may relay: Received says ESMTPSA, and log and record name the user", async (t) => {
  const { gateway, secure, events } = await startSite(t);
  const { client } = await secure();
  await client.command("MAIL FROM:<me@example.com>");
  assert.match(
    await client.command("RCPT TO:<friend@example.org>"),
    /^550 5\.7\.1 Relaying denied: authenticate first$/,
  );
  await client.command("RSET");
  assert.match(await client.command(`AUTH PLAIN ${right}`), /^235 2\.7\.0 /);
  await openData(client);
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^250 2\.0\.0 /);
  const meta = gateway.accepted[0]?.meta;
  assert.equal(meta?.origin?.user, "alice");
  assert.equal(meta?.origin?.protocol, "ESMTPSA");
  assert.match(meta?.received ?? "", /with ESMTPSA id /);
  assert.doesNotMatch(meta?.received ?? "", /alice/, "others need not know the user's name");
  assert.equal(events("message.accepted")[0]?.user, "alice");
  assert.deepEqual(
    events("auth.accepted").map(({ user, mechanism, client: from }) => [user, mechanism, from]),
    [["alice", "PLAIN", stranger]],
  );
  assert.match(await client.command("QUIT"), /^221 /);
  await waitFor("the session to end", () => events("session.close").length === 1);
  assert.equal(events("session.close")[0]?.user, "alice");
});

test("a server that mail goes to inline learns nothing of the login", async (t) => {
  const server = await startSmtpPeer({ address: "127.0.0.2", users: { alice: "open sesame" } });
  t.after(() => server.stop());
  const servers = [`${server.address}:${server.port}`];
  const { secure } = await startSite(t, { protected: [{ domains: ["example.com"], servers }] }, {});
  const { client } = await secure();
  assert.match(await client.command(`AUTH PLAIN ${right}`), /^235 /);
  await openData(client, "joe@example.com");
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  assert.match(await client.reply(), /^250 /);
  assert.equal(server.received.length, 1);
  assert.doesNotMatch(server.commands.join("\n"), /AUTH|alice/);
  assert.match(server.received[0]?.data.toString("latin1") ?? "", /with ESMTPSA id /);
});

test("LOGIN, and a login that outlives RSET and EHLO", async (t) => {
  const { secure } = await startSite(t);
  const { client } = await secure();
  assert.equal(await client.command("auth login"), "334 VXNlcm5hbWU6");
  assert.equal(await client.command(Buffer.from("bob").toString("base64")), "334 UGFzc3dvcmQ6");
  assert.match(await client.command(Buffer.from("x").toString("base64")), /^235 2\.7\.0 /);
  await client.command("RSET");
  await openData(client);
});

test("AUTH comes once, and not in a transaction (RFC 4954 §4)", async (t) => {
  const { secure } = await startSite(t);
  const { client } = await secure();
  await client.command("MAIL FROM:<me@example.com>");
  assert.match(await client.command(`AUTH PLAIN ${right}`), /^503 5\.5\.1 /);
  await client.command("RSET");
  assert.match(await client.command(`AUTH PLAIN ${right}`), /^235 /);
  assert.match(await client.command(`AUTH PLAIN ${right}`), /^503 5\.5\.1 /);
});

test("a wrong password is 535 5.7.8, each time slower, and the third ends the session with 421 4.7.0", async (t) => {
  const { secure, pauses, events } = await startSite(t);
  const { client } = await secure();
  assert.match(await client.command(`AUTH PLAIN ${wrong}`), /^535 5\.7\.8 /);
  assert.match(await client.command(`AUTH PLAIN ${plainResponse("swordfish", "x")}`), /^535 5\.7\.8 /);
  assert.match(await client.command(`AUTH PLAIN ${wrong}`), /^535 5\.7\.8 /);
  assert.match(await client.untilClosed(), /^421 4\.7\.0 /);
  assert.deepEqual(pauses, [1000, 2000, 4000]);
  assert.deepEqual(
    events("auth.failed").map(({ cause, user, failures }) => [cause, user, failures]),
    [
      ["credentials", "alice", 1],
      ["credentials", undefined, 2],
      ["credentials", "alice", 3],
    ],
    "a name that nobody has may be a password, and is not logged",
  );
});

test("over the limit even the right password is 454 4.7.0, and is not looked at", async (t) => {
  const { secure } = await startSite(t);
  for (let session = 0; session < 4; session++) {
    const { client } = await secure();
    for (let failure = 0; failure < 3; failure++) {
      const reply = await client.command(`AUTH PLAIN ${wrong}`);
      assert.match(reply, session * 3 + failure < 10 ? /^535 5\.7\.8 / : /^454 4\.7\.0 /);
    }
  }
  const { client } = await secure();
  assert.match(await client.command(`AUTH PLAIN ${right}`), /^454 4\.7\.0 /);
});

test("to act as somebody else is a failed login", async (t) => {
  const { secure } = await startSite(t);
  const { client } = await secure();
  assert.match(
    await client.command(`AUTH PLAIN ${plainResponse("alice", "open sesame", "bob")}`),
    /^535 5\.7\.8 /,
  );
  assert.match(await client.command(`AUTH PLAIN ${plainResponse("alice", "open sesame", "alice")}`), /^235 /);
});

test("a response has up to 12,288 octets with its line end, wherever it is cut; one more is 500 5.5.6 (RFC 4954 §4)", async (t) => {
  const { secure } = await startSite(t);
  const { client } = await secure();
  assert.equal(await client.command("AUTH PLAIN"), "334");
  const long = "A".repeat(12_284);
  client.write(long.slice(0, 5000));
  client.write(`${long.slice(5000)}AA\r\n`);
  assert.match(await client.reply(), /^501 5\.5\.2 /, "read whole, and no credentials");
  assert.equal(await client.command("AUTH PLAIN"), "334");
  client.write(`${"A".repeat(12_287)}\r\n`);
  assert.match(await client.reply(), /^500 5\.5\.6 /);
  assert.match(await client.command("NOOP"), /^250 /, "the exchange is over");
  assert.equal(await client.command("AUTH PLAIN"), "334");
  client.write("A".repeat(100_000));
  client.write("A\r\n");
  assert.match(await client.reply(), /^500 5\.5\.6 /);
  assert.match(
    await client.command(`NOOP ${"A".repeat(2100)}`),
    /^500 5\.5\.2 /,
    "commands stay as short as they were",
  );
});

test("* cancels, and the next line is a command again; a bare LF or a NUL is no response", async (t) => {
  const { secure } = await startSite(t);
  const { client } = await secure();
  assert.equal(await client.command("AUTH LOGIN"), "334 VXNlcm5hbWU6");
  assert.match(await client.command("*"), /^501 5\.7\.0 /);
  assert.match(await client.command("NOOP"), /^250 /);
  for (const line of ["QUIT\r\n", "AAAA\n", "AA\0A\r\n", "\u00e4\r\n"]) {
    assert.equal(await client.command("AUTH PLAIN"), "334");
    client.write(line);
    assert.match(await client.reply(), /^501 5\.5\.2 /, JSON.stringify(line));
  }
});

test("a changed user file counts at once; one with errors leaves the users before, and the log names the line", async (t) => {
  const { secure, users, authLog } = await startSite(t);
  const carol = plainResponse("carol", "new here");
  const { client } = await secure();
  assert.match(await client.command(`AUTH PLAIN ${carol}`), /^535 /);
  writeFileSync(users, `${userLine("carol", "new here")}not a user\n`);
  assert.match(await client.command(`AUTH PLAIN ${carol}`), /^535 /);
  assert.match(String(authLog[0]?.message), /users\.txt:2: is not name:scrypt/);
  writeFileSync(users, userLine("carol", "new here"));
  assert.match(await client.command(`AUTH PLAIN ${carol}`), /^235 /);
});

test("no credential reaches the log, whatever a client does with it", async (t) => {
  const { gateway, secure, events, authLog } = await startSite(t);
  const { client } = await secure();
  const secrets = [right, wrong, "open sesame", "swordfish", Buffer.from("swordfish").toString("base64")];
  await client.command(`AUTH PLAIN ${wrong}`);
  await client.command(`AUTH CRAM-MD5 ${wrong}`);
  await client.command(`AUTH PLAIN ${wrong} swordfish`);
  await client.command(wrong);
  await client.command("AUTH LOGIN");
  await client.command(`${wrong}!`);
  await client.command(`MAIL FROM:<me@example.com> AUTH=${wrong}`);
  await client.command(`AUTH PLAIN ${right}`);
  await client.command("RSET");
  await client.command(`AUTH PLAIN ${right}`);
  client.close();
  await waitFor("the session to end", () => events("session.close").length === 1);
  const text = JSON.stringify([gateway.log, authLog]);
  for (const secret of secrets) assert.ok(!text.includes(secret), secret);
});

test("a client that leaves during the check, or during the wait for its reply, holds nothing back", async (t) => {
  const { gateway, secure, events } = await startSite(t);
  const { client } = await secure();
  client.write(`AUTH PLAIN ${wrong}\r\n`);
  client.close();
  await waitFor("the session to end", () => events("session.close").length === 1);
  const { client: other } = await secure();
  assert.match(await other.command(`AUTH PLAIN ${right}`), /^235 /);
  other.close();
  await waitFor("all to end", () => gateway.sessions.active === 0);
});
