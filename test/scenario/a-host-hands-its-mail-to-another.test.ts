/** Two whole gateways, each with a spool and a Redis of its own: one is drained under load and hands its mail to the other. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { numbersOf, sendMail } from "../support/mail-load.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

let peer: SmtpPeer;
let first: Gateway;
let second: Gateway;
/** Of the second gateway. */
let spool: string;
/** The mailbox is full until the mail has moved. */
let isFull = true;

before(async () => {
  peer = await startSmtpPeer({
    script: {
      rcpt(address) {
        if (address.startsWith("unknown@")) return "550 5.1.1 no such user";
        return address.startsWith("full@") && isFull ? "452 4.2.2 mailbox full" : undefined;
      },
    },
  });
  const config = {
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    limits: { clients: { connections: 0 } },
    queue: { retry: ["1h"] },
  };
  [first, second] = await Promise.all([startGateway(config), startGateway(config)]);
  spool = path.join(second.directory, "data", "spool");
});
after(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await peer.stop();
});

/** A slow machine may take its time. */
const replyMs = 60_000;
function say(client: SmtpClient, line: string): Promise<string> {
  client.write(`${line}\r\n`);
  return client.reply(replyMs);
}

async function send(from: string, to: string, number: number): Promise<void> {
  const client = await SmtpClient.connect(first.port);
  await client.reply(60_000);
  await say(client, "EHLO client.example");
  await say(client, `MAIL FROM:<${from}>`);
  await say(client, `RCPT TO:<${to}>`);
  await say(client, "DATA");
  assert.match(await say(client, `X-Number: ${number}\r\n\r\nHello.\r\n.`), /^250 /);
  client.close();
}

const count = async (gateway: Gateway, status: string) => (await gateway.queue("--status", status)).length;

/** Runs the copy until it has printed a line, and kills it. */
function copyAndKill(): Promise<void> {
  const child = spawn(program, ["spool", "copy", "--to", spool, "-c", first.configFile], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.stdout.once("data", () => child.kill("SIGKILL"));
  });
}

test("all that one gateway has acknowledged is delivered once, what was held is held at the other, and what was dead is dead there", async () => {
  await send("ann@example.net", "full@example.com", 900_001);
  await send("", "unknown@example.com", 900_002);
  assert.equal((await first.postern("queue", "hold", "--to", "*@held.example")).code, 0);
  await send("ann@example.net", "bob@held.example", 900_003);
  await waitFor(
    "the three of them to stand still",
    async () =>
      (await count(first, "deferred")) === 1 &&
      (await count(first, "held")) === 1 &&
      (await count(first, "dead")) === 1,
    60_000,
  );
  const load = sendMail(first.port, 4);
  await waitFor("mail to go on", () => load.accepted.size > 20, 60_000);

  const refused = await first.postern("spool", "copy", "--to", spool);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^postern: 'postern up' is running on this spool: stop it first\n$/);
  const drained = await first.postern("drain", "--timeout", "10m");
  assert.equal(drained.code, 0, drained.stderr);
  assert.match(drained.stdout, /left in its spool: 1 deferred, 1 held, 1 dead\n$/);
  await load.stop();
  assert.deepEqual(load.surprises, []);
  await first.halt();

  await copyAndKill();
  await assert.rejects(first.restart(), /its mail is being handed to the spool/);
  const copied = await first.postern("spool", "copy", "--to", spool, "--json");
  assert.equal(copied.code, 0, copied.stderr);

  isFull = false;
  await waitFor("the deferred message to be delivered", () => numbersOf(peer).includes(900_001), 120_000);
  await waitFor(
    "the other gateway to know the rest",
    async () => (await count(second, "held")) === 1 && (await count(second, "dead")) === 1,
    120_000,
  );
  assert.ok(!numbersOf(peer).includes(900_003), "what was held is not delivered");
  assert.equal((await second.postern("queue", "release", "--to", "*@held.example")).code, 0);
  await waitFor("the held message to be delivered", () => numbersOf(peer).includes(900_003), 60_000);
  const expected = [...load.accepted, 900_001, 900_003];
  assert.deepEqual(
    numbersOf(peer).toSorted((a, b) => a - b),
    expected.toSorted((a, b) => a - b),
  );
});

test("the first gateway starts again with an empty spool and an empty Redis", async () => {
  rmSync(path.join(first.directory, "data", "redis"), { recursive: true });
  await first.restart();
  assert.deepEqual(await first.queue(), []);
  await send("ann@example.net", "bob@example.com", 900_004);
  await waitFor("new mail to be delivered", () => numbersOf(peer).includes(900_004), 60_000);
  assert.equal(numbersOf(peer).filter((number) => number === 900_001).length, 1);
});
