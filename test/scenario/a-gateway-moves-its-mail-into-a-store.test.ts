/** A gateway whose mail is on its disk moves into a store, and back: by the command, with whole gateways. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { parse, stringify } from "yaml";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startTestStore, type TestStore } from "../support/s3-store.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let peer: SmtpPeer;
let store: TestStore;
/** The mail of the first is on its disk, that of the second in the store. */
let first: Gateway;
let second: Gateway;
/** The mailbox is full until the mail has moved. */
let isFull = true;

before(async () => {
  peer = await startSmtpPeer({
    script: {
      rcpt: (address) => (address.startsWith("full") && isFull ? "452 4.2.2 mailbox full" : undefined),
    },
  });
  store = await startTestStore();
  const { endpoint, bucket, accessKeyId, secretAccessKey } = store;
  const config = {
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    queue: { retry: ["1h"] },
  };
  const credentials = { access_key_id: accessKeyId, secret_access_key: secretAccessKey };
  [first, second] = await Promise.all([
    startGateway(config),
    startGateway({ ...config, spool: { s3: { bucket, prefix: "gw/", endpoint, ...credentials } } }),
  ]);
});
after(async () => {
  await Promise.all([first?.stop(), second?.stop()]);
  await store?.close();
  await peer?.stop();
});

const patienceMs = 60_000;

async function send(to: string): Promise<void> {
  const client = await SmtpClient.connect(first.port);
  await client.reply(patienceMs);
  const text = ["EHLO client.example", "MAIL FROM:<ann@example.net>", `RCPT TO:<${to}>`, "DATA"];
  for (const line of [...text, "Subject: hello\r\n\r\nHello.\r\n."]) {
    client.write(`${line}\r\n`);
    assert.match(await client.reply(patienceMs), /^[23]/);
  }
  client.close();
}

const delivered = (): string[] =>
  peer.received.flatMap(({ to }) => to.map(({ address }) => address)).toSorted();

const waiting = async (gateway: Gateway, status: string) => (await gateway.queue("--status", status)).length;

/** As after a loss of it: what Redis has is of the mail that has gone. */
const emptyRedis = ({ directory }: Gateway) =>
  rmSync(path.join(directory, "data", "redis"), { recursive: true });

test("what cannot be right is refused with one sentence", async () => {
  const copy = async (...words: string[]) => (await first.postern("spool", "copy", ...words)).stderr;
  assert.match(
    await copy("--to", second.configFile),
    /^postern: 'postern up' is running on this spool: .*\n$/,
  );
  await send("full@example.com");
  assert.equal((await first.postern("queue", "hold", "--to", "*@held.example")).code, 0);
  await send("bob@held.example");
  await waitFor(
    "the mail to stand still",
    async () => (await waiting(first, "deferred")) === 1 && (await waiting(first, "held")) === 1,
    patienceMs,
  );
  await first.halt();
  assert.match(
    await copy("--to", second.configFile),
    /^postern: 'postern up' is running on \S+data: stop it/,
  );
  assert.match(await copy("--to", first.configFile), /^postern: \S+ is this spool itself\n$/);
  const invalid = path.join(first.directory, "invalid.yaml");
  writeFileSync(invalid, "spool: 1\n");
  assert.match(await copy("--to", invalid), /^postern: \S+invalid\.yaml has errors: /);
  await second.halt();
  assert.deepEqual(await second.postern("spool", "copy", "--to", second.configFile), {
    code: 1,
    stdout: "",
    stderr: `postern: s3://mail/gw/ at ${store.endpoint} is this spool itself\n`,
  });
  // The same place in other words, and with another data directory.
  const config = parse(readFileSync(second.configFile, "utf8"));
  config.spool.s3.endpoint += "/";
  const written = path.join(second.directory, "other-words.yaml");
  writeFileSync(written, stringify({ ...config, data: path.join(second.directory, "elsewhere") }));
  assert.deepEqual(await second.postern("spool", "copy", "--to", written), {
    code: 1,
    stdout: "",
    stderr: `postern: s3://mail/gw/ at ${store.endpoint}/ is this spool itself\n`,
  });
});

test("from the disk into the store: deferred mail is delivered once, held mail stays held", async () => {
  const { code, stdout, stderr } = await first.postern("spool", "copy", "--to", second.configFile);
  assert.equal(code, 0, stderr);
  assert.equal(
    stdout,
    `copied 2 messages\nhanded over 2 messages\n2 messages are in s3://mail/gw/ at ${store.endpoint} now, and 1 hold rules; what Redis has of them here may be deleted\n`,
  );
  emptyRedis(second);
  await second.restart();
  await waitFor(
    "the other gateway to know the mail",
    async () => (await waiting(second, "held")) === 1,
    patienceMs * 2,
  );
  assert.deepEqual(delivered(), []);
});

test("back from the store: while a copy is under way no service starts, and a copy that was begun goes on", async () => {
  await second.halt();
  const spool = path.join(first.directory, "data", "spool");
  // As a crash leaves it after the first step.
  const closed = { version: 1, id: "0123456789abcdef", role: "from", other: spool };
  store.objects.set("gw/handover/closed", {
    bytes: Buffer.from(JSON.stringify(closed)),
    modifiedMs: Date.now(),
  });
  await assert.rejects(
    second.restart(),
    /its mail is being handed to the spool .*\/data\/spool: finish that/,
  );
  await second.halt();
  // The spool knows the same messages as gone: a new one is made.
  rmSync(spool, { recursive: true });
  mkdirSync(spool);
  const { code, stderr } = await second.postern("spool", "copy", "--to", spool);
  assert.equal(code, 0, stderr);
  assert.equal(store.objects.has("gw/handover/closed"), false);
  emptyRedis(first);
  isFull = false;
  await first.restart();
  await waitFor("the deferred message", () => delivered().includes("full@example.com"), patienceMs * 2);
  await waitFor("the held one", async () => (await waiting(first, "held")) === 1, patienceMs * 2);
  assert.deepEqual(delivered(), ["full@example.com"]);
});
