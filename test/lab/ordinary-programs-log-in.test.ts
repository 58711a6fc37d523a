/** The whole gateway with SMTP AUTH, and the clients that people have: swaks, msmtp, curl. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { selfSignedCertificate } from "../support/certificate.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { run, unlessInstalled } from "../support/programs.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const password = "correct-horse-battery";
const wrongPassword = "hunter2-hunter2";

describe("a client that may not relay", { skip: unlessInstalled("redis-server", "openssl") }, () => {
  let directory: string;
  let peer: SmtpPeer;
  let gateway: Gateway;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "postern-auth-"));
    const { cert, key } = selfSignedCertificate("gw.example.net");
    writeFileSync(join(directory, "cert.pem"), cert);
    writeFileSync(join(directory, "key.pem"), key);
    peer = await startSmtpPeer({ address: "127.0.0.9" });
    gateway = await startGateway({
      tls: { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") },
      auth: { users: { file: join(directory, "users.txt") }, failures: { client: "1000/1m" } },
      relay: { clients: ["192.0.2.0/24"], routes: [{ to: "*", via: `${peer.address}:${peer.port}` }] },
    });
    addUser("alice", password);
  });
  after(async () => {
    await gateway?.stop();
    await peer?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** While the gateway runs, which takes notice of it by itself. */
  function addUser(name: string, secret: string): void {
    const program = join(import.meta.dirname, "../../bin/postern");
    execFileSync(program, ["user", "add", name, "-c", gateway.configFile], { input: `${secret}\n` });
  }

  async function arrived(to: string): Promise<string> {
    const message = await waitFor(`mail for ${to}`, () =>
      peer.received.find(({ to: recipients }) => recipients.some(({ address }) => address === to)),
    );
    return message.data.toString("latin1");
  }

  const swaks = (to: string, ...more: string[]) =>
    run("swaks", [
      "--server",
      `127.0.0.1:${gateway.port}`,
      "--from",
      "a@client.example",
      "--to",
      to,
      ...more,
    ]);

  test("swaks logs in with PLAIN and with LOGIN, and its mail is relayed", {
    skip: unlessInstalled("swaks") || lacksNetSsleay(),
  }, async () => {
    for (const mechanism of ["PLAIN", "LOGIN"]) {
      const to = `swaks-${mechanism}@far.example`;
      const login = ["--auth", mechanism, "--auth-user", "alice", "--auth-password", password];
      const { code, output } = await swaks(to, "--tls", ...login);
      assert.equal(code, 0, output);
      assert.match(output, /<~\s+235 2\.7\.0 /);
      assert.match(await arrived(to), /^Received: .*\r\n.* with ESMTPSA id /m);
    }
  });

  test("swaks hears 535 5.7.8 for a wrong password, 550 5.7.1 without a login, and no AUTH without TLS", {
    skip: unlessInstalled("swaks") || lacksNetSsleay(),
  }, async () => {
    const to = "nobody@far.example";
    const wrong = ["--auth", "PLAIN", "--auth-user", "alice", "--auth-password", wrongPassword];
    const refused = await swaks(to, "--tls", ...wrong);
    assert.equal(refused.code, 28, refused.output);
    assert.match(refused.output, /535 5\.7\.8 /);
    const stranger = await swaks(to, "--tls");
    assert.match(stranger.output, /550 5\.7\.1 Relaying denied: authenticate first/);
    const inClear = await swaks(to, ...wrong);
    assert.equal(inClear.code, 28, inClear.output);
    assert.doesNotMatch(inClear.output, /~> AUTH/);
  });

  test("msmtp logs in and sends", { skip: unlessInstalled("msmtp") }, async () => {
    for (const mechanism of ["plain", "login"]) {
      const to = `msmtp-${mechanism}@far.example`;
      const server = `--host=127.0.0.1 --port=${gateway.port} --tls=on --tls-starttls=on --tls-certcheck=off`;
      const login = `--auth=${mechanism} --user=alice --passwordeval='echo ${password}'`;
      const message = "printf 'Subject: x\\n\\nfrom msmtp\\n'";
      const { code, output } = await run("sh", [
        "-c",
        `${message} | msmtp --file=/dev/null ${server} ${login} --from=a@client.example ${to}`,
      ]);
      assert.equal(code, 0, output);
      assert.match(await arrived(to), /from msmtp/);
    }
  });

  test("curl logs in and sends", { skip: unlessInstalled("curl") }, async () => {
    const file = join(directory, "message");
    writeFileSync(file, "Subject: x\r\n\r\nfrom curl\r\n");
    const curl = (to: string, secret: string, ...more: string[]) =>
      run("curl", [
        ...["--silent", "--show-error", "--ssl-reqd", "--insecure", `smtp://127.0.0.1:${gateway.port}`],
        ...["--user", `alice:${secret}`, "--mail-from", "a@client.example", "--mail-rcpt", to],
        ...["--upload-file", file, ...more],
      ]);
    for (const mechanism of ["PLAIN", "LOGIN"]) {
      const to = `curl-${mechanism}@far.example`;
      const { code, output } = await curl(to, password, "--login-options", `AUTH=${mechanism}`);
      assert.equal(code, 0, output);
      assert.match(await arrived(to), /from curl/);
    }
    const initial = await curl("curl-ir@far.example", password, "--sasl-ir");
    assert.equal(initial.code, 0, initial.output);
    const refused = await curl("nobody@far.example", wrongPassword);
    assert.equal(refused.code, 67, refused.output);
  });

  test("a user who is removed cannot log in any more; SIGHUP ends nothing", {
    skip: unlessInstalled("curl"),
  }, async () => {
    addUser("bob@example.com", password);
    const file = join(directory, "message");
    writeFileSync(file, "Subject: x\r\n\r\nx\r\n");
    const send = (to: string) =>
      run("curl", [
        ...["--silent", "--ssl-reqd", "--insecure", `smtp://127.0.0.1:${gateway.port}`],
        ...["--user", `bob@example.com:${password}`, "--mail-from", "b@client.example", "--mail-rcpt", to],
        ...["--upload-file", file],
      ]);
    assert.equal((await send("bob-1@far.example")).code, 0);
    assert.equal((await gateway.postern("user", "remove", "bob@example.com")).code, 0);
    assert.equal((await send("bob-2@far.example")).code, 67);
    writeFileSync(join(directory, "users.txt"), "not a user\n", { flag: "a" });
    gateway.signal("SIGHUP");
    await waitFor("the log to name the line", () =>
      gateway.log().some(({ message }) => /users\.txt:\d+: is not name:scrypt/.test(String(message))),
    );
    assert.ok(!gateway.log().some(({ message }) => /exited; restarting it/.test(String(message))));
  });

  test("no password is in the log, in Redis or in the spool", () => {
    const stored = ["-rlaE", `${password}|${wrongPassword}`, join(gateway.directory, "data")];
    let found = "";
    try {
      found = execFileSync("grep", stored, { encoding: "utf8" });
    } catch (error) {
      // grep's exit status when nothing was found.
      assert.equal((error as { status?: number }).status, 1);
    }
    assert.equal(found, "");
    const log = JSON.stringify(gateway.log());
    for (const secret of [password, wrongPassword]) {
      assert.ok(!log.includes(secret));
      for (const start of ["alice\0", "\0alice\0"])
        assert.ok(!log.includes(Buffer.from(start + secret).toString("base64")));
      assert.ok(!log.includes(Buffer.from(secret).toString("base64")));
    }
  });
});

/** swaks speaks TLS with it. */
function lacksNetSsleay(): false | string {
  try {
    execFileSync("perl", ["-MNet::SSLeay", "-e", "1"], { stdio: "ignore" });
    return false;
  } catch {
    return "Perl's Net::SSLeay not installed";
  }
}
