import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse, stringify } from "yaml";
import { selfSignedCertificate } from "../support/certificate.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { startTls } from "../support/start-tls.ts";
import { waitFor } from "../support/wait-for.ts";

let first: SmtpPeer;
let second: SmtpPeer;
let gateway: Gateway;
/** The reply to the final dot of the message to slow@. */
const slowReply = Promise.withResolvers<undefined>();

before(async () => {
  first = await startSmtpPeer({
    script: {
      message: ({ to }) => (to[0]?.address.startsWith("slow@") ? slowReply.promise : undefined),
    },
  });
  second = await startSmtpPeer();
  gateway = await startGateway({
    relay: { routes: [{ to: "*", via: `127.0.0.1:${first.port}` }] },
    limits: { message: "1MB" },
  });
});
after(async () => {
  await gateway.stop();
  await Promise.all([first.stop(), second.stop()]);
});

interface ConfigFile {
  listeners: { port: number }[];
  limits: { message: string; clients?: object };
  relay: { routes: { to: string; via: string }[] };
  tls?: { cert: string; key: string };
  protected?: object[];
}

function change(edit: (config: ConfigFile) => void): void {
  const config = parse(readFileSync(gateway.configFile, "utf8"));
  edit(config);
  writeFileSync(gateway.configFile, stringify(config));
}

interface Report {
  state: string;
  services: { name: string; state: string; errors: string[]; changed: string[]; restart: string[] }[];
}

/** By the API, as another host would: the command looks at the file first. */
async function reload(): Promise<Report> {
  const token = readFileSync(join(gateway.directory, "data", "admin.token"), "utf8").trim();
  const response = await fetch(`${gateway.adminUrl}/api/v1/reload`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(response.status, 200);
  return (await response.json()) as Report;
}

/** Opens a session and says EHLO. @returns the size that the gateway takes, too */
async function open(): Promise<{ client: SmtpClient; size: string | undefined }> {
  const client = await SmtpClient.connect(gateway.port);
  await client.reply();
  const size = /SIZE (\d+)/.exec(await client.command("EHLO client.example"))?.[1];
  return { client, size };
}

async function send(client: SmtpClient, to: string, subject: string): Promise<void> {
  await client.command("MAIL FROM:<sender@example.net>");
  await client.command(`RCPT TO:<${to}>`);
  await client.command("DATA");
  assert.match(await client.command(`Subject: ${subject}\r\n\r\nHello.\r\n.`), /^250 /);
}

const subjects = (peer: SmtpPeer) =>
  peer.received.map(({ data }) => /^Subject: (.*)$/m.exec(data.toString())?.[1]?.trim());

test("under load every session goes on, every message arrives once, and new mail takes the new route", async () => {
  const sent: string[] = [];
  let isOver = false;
  const load = Array.from({ length: 12 }, async (_, sender) => {
    for (let session = 0; !isOver; session++) {
      const { client } = await open();
      for (let message = 0; message < 3; message++) {
        const subject = `${sender}-${session}-${message}`;
        await send(client, "someone@example.com", subject);
        sent.push(subject);
      }
      assert.match(await client.command("QUIT"), /^221 /);
      client.close();
    }
  });
  const routes = [second, first, second];
  for (const peer of routes) {
    change((config) => {
      config.relay.routes = [{ to: "*", via: `127.0.0.1:${peer.port}` }];
    });
    const enough = sent.length + 30;
    const { state, services } = await reload();
    assert.equal(state, "taken");
    assert.deepEqual(services.map(({ name }) => name).toSorted(), ["admin", "bounce", "delivery", "ingress"]);
    await waitFor("mail after the reload", () => sent.length > enough);
  }
  isOver = true;
  await Promise.all(load);
  await waitFor("every message", () => first.received.length + second.received.length >= sent.length);
  assert.deepEqual([...subjects(first), ...subjects(second)].toSorted(), sent.toSorted());
  assert.ok(second.received.length > 0);
});

test("a session ends with the configuration that it began with, in the middle of a message too", async () => {
  const { client, size } = await open();
  assert.equal(size, `${1024 ** 2}`);
  await client.command("MAIL FROM:<sender@example.net>");
  await client.command("RCPT TO:<someone@example.com>");
  await client.command("DATA");
  client.write("Subject: begun before\r\n\r\nHello.\r\n");
  change((config) => {
    config.limits.message = "2MB";
  });
  assert.equal((await reload()).state, "taken");
  assert.match(await client.command("."), /^250 /);
  assert.match(await client.command("EHLO client.example"), new RegExp(`SIZE ${1024 ** 2}\n`));
  client.close();
  const later = await open();
  assert.equal(later.size, `${2 * 1024 ** 2}`);
  later.client.close();
});

test("an attempt that is under way ends at the server where it began, and is made once", async () => {
  change((config) => {
    config.relay.routes = [{ to: "*", via: `127.0.0.1:${first.port}` }];
  });
  await reload();
  const { client } = await open();
  await send(client, "slow@example.com", "slow");
  await waitFor("the attempt", () => first.commands.some((line) => line.includes("RCPT TO:<slow@")));
  change((config) => {
    config.relay.routes = [{ to: "*", via: `127.0.0.1:${second.port}` }];
  });
  await reload();
  await send(client, "someone@example.com", "after");
  await waitFor("new mail at the new server", () => subjects(second).includes("after"));
  client.close();
  slowReply.resolve(undefined);
  await waitFor("the slow message", () => subjects(first).includes("slow"));
  await waitFor("an empty queue", async () => (await gateway.queue()).length === 0);
  assert.ok(!subjects(second).includes("slow"));
});

test("an invalid configuration changes nothing; the answer, the log and the health name the errors", async () => {
  change((config) => {
    config.limits.message = "a lot";
    config.relay.routes = [{ to: "*", via: "nowhere" }];
  });
  const { state, services } = await reload();
  assert.equal(state, "invalid");
  for (const { errors } of services) {
    assert.match(errors.join("\n"), /postern\.yaml:\d+: limits\.message: is not a size/);
    assert.match(errors.join("\n"), /postern\.yaml:\d+: relay\.routes\[0\]\.via: names nothing/);
  }
  const command = await gateway.postern("reload");
  assert.deepEqual([command.code, command.stdout], [2, ""]);
  for (const line of [
    /limits\.message: is not a size/,
    /via: names nothing/,
    /the configuration before stays in force$/m,
  ])
    assert.match(command.stderr, line);
  const { client, size } = await open();
  assert.equal(size, `${2 * 1024 ** 2}`);
  await send(client, "someone@example.com", "all is as before");
  client.close();
  await waitFor("the mail", () => subjects(second).includes("all is as before"));
  const refusals = gateway.log().filter(({ event }) => event === "config.refused");
  assert.ok(refusals.some(({ message }) => /limits\.message: is not a size/.test(`${message}`)));
  const health = await gateway.postern("health", "ingress");
  assert.equal(health.code, 0, "mail goes on: the service is ready");
  assert.match(health.stdout, /warning: the configuration has errors and is not in force: .*\(and 1 more\)/);
});

test("what needs a restart is named, and everything else is taken, also at SIGHUP", async () => {
  change((config) => {
    config.limits.message = "3MB";
    config.relay.routes = [{ to: "*", via: `127.0.0.1:${first.port}` }];
    for (const listener of config.listeners) listener.port++;
  });
  const takenBefore = gateway.log().filter(({ event }) => event === "config.taken").length;
  gateway.signal("SIGHUP");
  await waitFor("all services", () => {
    return gateway.log().filter(({ event }) => event === "config.taken").length === takenBefore + 4;
  });
  const { client, size } = await open();
  client.close();
  assert.equal(size, `${3 * 1024 ** 2}`);
  const command = await gateway.postern("reload");
  assert.equal(command.code, 0, command.stderr);
  assert.match(command.stdout, /^ingress +\S+ +\d+ +taken$/m);
  assert.match(
    command.stdout,
    /^in force when ingress is started again: listeners\[\]\.port \(submission\)$/m,
  );
  const { services } = await reload();
  const restart = services.flatMap(({ name, restart }) => restart.map((key) => `${name}: ${key}`));
  assert.deepEqual(restart, ["ingress: listeners[].port (submission)"]);
  const health = await gateway.postern("health", "ingress");
  assert.match(
    health.stdout,
    /warning: start ingress again for changes of listeners\[\]\.port \(submission\)/,
  );
  assert.doesNotMatch(health.stdout, /not in force/);
});

test("a renewed certificate and a longer list of domains are taken without a reload; sessions go on", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "postern-renewal-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const [cert, key, domains] = ["cert.pem", "key.pem", "domains.txt"].map((name) => join(directory, name));
  assert.ok(cert !== undefined && key !== undefined && domains !== undefined);
  /** As programs that renew do: the new file takes the place of the old one. */
  const replace = (file: string, content: string): void => {
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  };
  const [old, renewed] = [selfSignedCertificate("old.example"), selfSignedCertificate("new.example")];
  replace(cert, old.cert);
  replace(key, old.key);
  replace(domains, "listed.example\n");
  change((config) => {
    config.tls = { cert, key };
    config.limits.clients = { connections: 1_000, rate: "10000/1m" };
    config.relay.routes = [{ to: "*", via: `127.0.0.1:${first.port}` }];
    config.protected = [{ domains: { file: domains }, servers: [`127.0.0.1:${second.port}`], inline: false }];
  });
  assert.equal((await reload()).state, "taken");

  const handshake = async () => {
    const { client } = await open();
    const secured = await startTls(t, client);
    return { ...secured, name: secured.socket.getPeerCertificate().subject.CN };
  };
  const before = await handshake();
  assert.equal(before.name, "old.example");
  // For a moment the files do not belong together.
  replace(cert, renewed.cert);
  replace(key, renewed.key);
  await waitFor(
    "the new certificate",
    async () => {
      const { socket, name } = await handshake();
      socket.destroy();
      return name === "new.example";
    },
    60_000,
  );
  assert.match(await before.client.command("EHLO client.example"), /^250/, "the session from before goes on");

  const listed = async (to: string): Promise<boolean> => {
    const { client } = await open();
    await send(client, to, to);
    client.close();
    await waitFor("its arrival", () => [...subjects(first), ...subjects(second)].includes(to), 60_000).catch(
      (error: Error) =>
        assert.fail(`${error.message}: ${to}\n${JSON.stringify(gateway.log().slice(-60), null, 1)}`),
    );
    return subjects(second).includes(to);
  };
  assert.equal(await listed("a@listed.example"), true);
  assert.equal(await listed("a0@added.example"), false);
  replace(domains, "listed.example\nadded.example\n");
  let tries = 0;
  await waitFor("the added domain", () => listed(`a${++tries}@added.example`), 60_000);
  assert.match(await before.client.command("NOOP"), /^250/);
});
