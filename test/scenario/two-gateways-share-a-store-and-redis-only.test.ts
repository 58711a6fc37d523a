/** Two gateways without a common file system: mail that one of them has accepted is in the S3-compatible store. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { startTestStore, type TestStore } from "../support/s3-store.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let redis: TestRedis;
let store: TestStore;
let peer: SmtpPeer;
let gateways: [Gateway, Gateway];
/** The remote server defers recipients whose addresses begin with "later". */
let isDeferring = true;

before(async () => {
  redis = await startRedis();
  store = await startTestStore();
  peer = await startSmtpPeer({
    script: {
      rcpt(address) {
        if (address.startsWith("nobody")) return "550 5.1.1 no such user";
        return isDeferring && address.startsWith("later") ? "450 4.2.1 later" : undefined;
      },
    },
  });
  const { endpoint, bucket, accessKeyId, secretAccessKey } = store;
  const given = {
    redis: { url: redis.url },
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    dsn: { wave: "1s" },
    spool: {
      s3: {
        bucket,
        prefix: "gw/",
        endpoint,
        batch: "20ms",
        access_key_id: accessKeyId,
        secret_access_key: secretAccessKey,
      },
    },
  };
  gateways = await Promise.all([startGateway(given), startGateway(given)]);
});

after(async () => {
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop()));
  await peer?.stop();
  await store?.close();
  await redis?.close();
});

/** The addresses that have got mail, in order. */
function delivered(): string[] {
  return peer.received.flatMap(({ to }) => to.map(({ address }) => address)).sort();
}

async function greeted({ port }: Gateway): Promise<SmtpClient> {
  const client = await SmtpClient.connect(port);
  await client.reply(patienceMs);
  client.write("EHLO client.example\r\n");
  await client.reply(patienceMs);
  return client;
}

const patienceMs = 60_000;

/** Sends one message. @returns the reply to its final dot */
async function send(client: SmtpClient, to: string[], text: string): Promise<string> {
  for (const line of ["MAIL FROM:<me@example.org>", ...to.map((path) => `RCPT TO:${path}`), "DATA"]) {
    client.write(`${line}\r\n`);
    assert.match(await client.reply(patienceMs), /^[23]/);
  }
  client.write(`${text}\r\n.\r\n`);
  return client.reply(patienceMs);
}

test("a gateway delivers, defers and returns mail whose spool is a store", async () => {
  const client = await greeted(gateways[0]);
  const to = ["<anna@example.com>", "<later-1@example.com>", "<nobody@example.com>"];
  assert.match(await send(client, to, "Subject: hello\r\n\r\nHello."), /^250 /);
  await waitFor("the mail and the notification", () => delivered().length === 2, 120_000);
  assert.deepEqual(delivered(), ["anna@example.com", "me@example.org"]);
  const notification = peer.received.find(({ from }) => from === "");
  assert.match(String(notification?.data), /Final-Recipient: rfc822; ?nobody@example\.com/);
  // The notification may be there before the attempt has ended.
  await waitFor(
    "the other gateway to show what waits, and why",
    async () => {
      const rows = await gateways[1].queue();
      return rows.length === 1 && /450 4\.2\.1 later/.test(String(rows[0]?.reason));
    },
    120_000,
  );
  assert.ok(!existsSync(join(gateways[0].directory, "data/spool/segments")), "no spool on the disk");
  const shown = await gateways[0].postern("config", "show");
  assert.ok(shown.stdout.includes("bucket: mail"));
  assert.ok(!shown.stdout.includes(store.secretAccessKey));
  client.socket.destroy();
});

test("after Redis was emptied, what is not settled is scheduled again from the store, and nothing else", async () => {
  await redis.flush();
  await waitFor(
    "the deferred mail to be scheduled",
    async () => (await gateways[1].queue()).length === 1,
    120_000,
  );
  assert.deepEqual(delivered(), ["anna@example.com", "me@example.org"]);
});

test("one gateway is killed for good, and the other delivers all that it had acknowledged", async () => {
  const [lost, other] = gateways;
  const acknowledged: string[] = [];
  const sessions = Array.from({ length: 4 }, async (_, session) => {
    const client = await greeted(lost);
    for (let n = 0; n < 12; n++) {
      const address = `later-${session}-${n}@example.com`;
      // Some bodies are too large for a batch.
      const text = `Subject: ${n}\r\n\r\n${"x"
        .repeat(70)
        .concat("\r\n")
        .repeat(n % 5 === 4 ? 6000 : 3)}`;
      if (!(await send(client, [`<${address}>`], text)).startsWith("250")) return;
      acknowledged.push(address);
    }
  });
  const ended = Promise.allSettled(sessions);
  await waitFor("half of the mail to be accepted", () => acknowledged.length >= 20, 120_000);
  lost.signal("SIGKILL");
  for (const service of ["ingress", "delivery", "bounce", "admin"] as const) lost.kill(service);
  await ended;
  isDeferring = false;
  const missing = (): string[] => {
    const there = new Set(delivered());
    return [...acknowledged, "later-1@example.com"].filter((address) => !there.has(address));
  };
  await waitFor("everything that was acknowledged", () => missing().length === 0, 180_000);
  for (const { to, data } of peer.received) {
    const n = Number(/^later-\d-(\d+)@/.exec(to[0]?.address ?? "")?.[1] ?? 0);
    assert.ok(n % 5 !== 4 || data.length > 400_000, "a large body is whole");
  }
  await waitFor("an empty queue", async () => (await other.queue()).length === 0, 120_000);
});

test("when all is settled, the store is emptied of messages and bodies", async () => {
  const left = (): string[] =>
    [...store.objects.keys()].filter((key) => /^gw\/(messages|compacted|bodies)\//.test(key));
  // A message may be in the store whose gateway was killed before it could acknowledge it: the next comparison finds it.
  await redis.flush();
  // A body whose record its writer had no time to write stays for a day.
  await waitFor(
    "the messages to go",
    () => left().filter((key) => !key.startsWith("gw/bodies/")).length === 0,
    180_000,
  ).catch((error: Error) => assert.fail(`${error.message}: ${left()}`));
  assert.ok(left().length <= 4, "no more bodies than the killed gateway had sessions");
});
