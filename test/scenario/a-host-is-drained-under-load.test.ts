/** `postern drain`: a host is taken out of service under load, and put back. */
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { after, before, test } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { numbersOf, sendMail } from "../support/mail-load.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let peer: SmtpPeer;
let gateway: Gateway;
before(async () => {
  peer = await startSmtpPeer({
    script: { rcpt: (address) => (address.startsWith("full@") ? "452 4.2.2 mailbox full" : undefined) },
  });
  gateway = await startGateway({
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    limits: { clients: { connections: 0 } },
    queue: { retry: ["1h"] },
  });
});
after(async () => {
  await gateway.stop();
  await peer.stop();
});

/** A slow machine may take its time. */
const replyMs = 60_000;
function say(client: SmtpClient, line: string): Promise<string> {
  client.write(`${line}\r\n`);
  return client.reply(replyMs);
}

async function session(): Promise<SmtpClient> {
  const client = await SmtpClient.connect(gateway.port);
  assert.match(await client.reply(60_000), /^220 /);
  await say(client, "EHLO client.example");
  return client;
}

async function send(client: SmtpClient, to: string): Promise<string> {
  await say(client, "MAIL FROM:<ann@example.net>");
  await say(client, `RCPT TO:<${to}>`);
  await say(client, "DATA");
  return say(client, "Subject: one\r\n\r\nHello.\r\n.");
}

test("under load new clients hear 421, sessions end between two messages, and all accepted mail is delivered", async () => {
  const first = await session();
  assert.match(await send(first, "full@example.com"), /^250 /);
  await waitFor("it to be deferred", async () => (await gateway.queue("--status", "deferred")).length === 1);

  const inMessage = await session();
  await say(inMessage, "MAIL FROM:<ann@example.net>");
  await say(inMessage, "RCPT TO:<bob@example.com>");
  await say(inMessage, "DATA");
  const load = sendMail(gateway.port, 4);
  await waitFor("mail to go on", () => load.accepted.size > 20);
  const drained = gateway.postern("drain", "--reason", "new disk", "--timeout", "10m");
  assert.match(await first.reply(60_000), /^421 4\.3\.2 /);
  await waitFor("clients to be turned away", () => load.turnedAway > 0, 60_000);
  await load.stop();
  inMessage.write("X-Number: 777\r\n\r\nHello.\r\n");
  assert.match(await say(inMessage, "."), /^250 /);
  assert.match(await inMessage.reply(60_000), /^421 4\.3\.2 /);

  const { code, stdout, stderr } = await drained;
  assert.equal(code, 0, stderr);
  assert.match(stdout, / is drained: its services may be stopped\nleft in its spool: 1 deferred\n$/);
  assert.deepEqual(load.surprises, []);
  const numbers = [...load.accepted, 777].toSorted((a, b) => a - b);
  assert.deepEqual(
    numbersOf(peer).toSorted((a, b) => a - b),
    numbers,
  );
});

test("while it is out, its ingress is not ready and says why, also after a restart", async () => {
  const isOut = async () => {
    const { code, stderr } = await gateway.postern("health", "ingress");
    return code === 1 && /has taken this host out of service at .*\(new disk\)/.test(stderr);
  };
  assert.ok(await isOut());
  const status = await gateway.postern("status");
  assert.equal(status.code, 1);
  assert.match(status.stdout, /out of service/);
  await gateway.postern("reload");
  gateway.kill("ingress");
  await waitFor("the ingress to be out again", isOut, 60_000);
  const client = await SmtpClient.connect(gateway.port);
  assert.match(await client.reply(60_000), /^421 4\.3\.2 /);
});

test("--json says how far it is, an unknown host is one line, and --end puts it back", async () => {
  const { code, stdout } = await gateway.postern("drain", "--no-wait", "--json");
  assert.equal(code, 0);
  const { hosts, mail } = JSON.parse(stdout);
  assert.deepEqual(
    hosts.map(({ host, state, others }: Record<string, unknown>) => ({ host, state, others })),
    [{ host: hostname(), state: "drained", others: 0 }],
  );
  assert.equal(mail.deferred, 1);
  const unknown = await gateway.postern("drain", "nowhere.example");
  assert.equal(unknown.code, 1);
  assert.equal(unknown.stderr, `postern: No ingress runs on nowhere.example; there are: ${hostname()}.\n`);

  const ended = await gateway.postern("drain", "--end");
  assert.deepEqual(
    { code: ended.code, stdout: ended.stdout },
    { code: 0, stdout: `${hostname()} is in service again\n` },
  );
  const client = await waitFor("a session", () => session().catch(() => undefined), 60_000);
  assert.match(await send(client, "bob@example.com"), /^250 /);
  client.close();
  assert.equal((await gateway.postern("drain", "--end")).code, 1);
});
