import assert from "node:assert/strict";
import { test } from "node:test";
import { createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { startTestIngress, type TestIngress, transparent } from "../support/ingress.ts";
import { startRedis } from "../support/redis.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

interface Limits {
  connections?: number;
  rate?: string;
}
type Ending = { after(end: () => Promise<void>): void };

const listeners = [
  transparent(),
  { name: "submission", address: "127.0.0.1", port: 0, destination: "self" as const },
];

/** Ingress processes that share a Redis. */
async function processes(
  t: Ending,
  count: number,
  clients: Limits,
  outgoing: object = {},
): Promise<TestIngress[]> {
  const redis = await startRedis();
  t.after(() => redis.close());
  return Promise.all(
    Array.from({ length: count }, async () => {
      const limiter = createClusterLimiter({
        redis: { url: redis.url },
        log: createLogger("test", { write() {} }),
        redisAnswerMs: 30_000,
      });
      const ingress = await startTestIngress({ listeners, limits: { clients }, outgoing }, { limiter });
      t.after(async () => {
        await ingress.close(0);
        await limiter.close();
      });
      return ingress;
    }),
  );
}

async function submit(ingress: TestIngress): Promise<{ client: SmtpClient; greeting: string }> {
  const client = await SmtpClient.connect(ingress.port("submission"));
  return { client, greeting: await client.reply() };
}

async function mail(client: SmtpClient, times: number): Promise<string[]> {
  await client.command("EHLO client.example");
  const replies: string[] = [];
  for (let i = 0; i < times; i++) {
    replies.push((await client.command("MAIL FROM:<a@client.example>")).slice(0, 9));
    await client.command("RSET");
  }
  return replies;
}

test("a client with all its connections hears 421 in place of the greeting, whichever process it comes to", async (t) => {
  const [a, b] = (await processes(t, 2, { connections: 2 })) as [TestIngress, TestIngress];
  const first = await submit(a);
  const second = await submit(b);
  assert.match(first.greeting, /^220 /);
  assert.match(second.greeting, /^220 /);
  const third = await submit(b);
  assert.match(third.greeting, /^421 4\.7\.0 /);
  assert.equal(await third.client.untilClosed(), "");
  const [refusal] = b.events("session.refused");
  assert.equal(refusal?.cause, "too-many-connections");
  assert.equal(refusal?.client, "127.0.0.1");
  first.client.close();
  await waitFor("what it closed is free for it, in the other process too", async () => {
    const { client, greeting } = await submit(b);
    if (!greeting.startsWith("220")) return false;
    client.close();
    return true;
  });
  second.client.close();
});

test("another client has connections of its own; an IPv6 network of /64 is one client", async (t) => {
  const server = await startSmtpPeer({ address: "127.0.0.2" });
  t.after(() => server.stop());
  const [a] = (await processes(t, 1, { connections: 1 }, { on_failure: "421" })) as [TestIngress];
  const ours = { address: "::1", port: 25 };
  const connect = async (address: string): Promise<string> => {
    const client = await a.connect(address.includes(":") ? ours : server, { address, port: 40_000 });
    t.after(async () => client.close());
    return client.reply();
  };
  assert.match(await connect("192.0.2.1"), /^220 /);
  assert.match(await connect("192.0.2.2"), /^220 /);
  assert.match(await connect("192.0.2.1"), /^421 4\.7\.0 /);
  assert.match(await connect("2001:db8:1:2::1"), /^220 /);
  assert.match(await connect("2001:db8:1:3::1"), /^220 /);
  assert.match(await connect("2001:db8:1:2::2"), /^421 4\.7\.0 /);
});

test("the outgoing proxy drops a client that has too many connections, and its server sees none of it", async (t) => {
  const server = await startSmtpPeer({ address: "127.0.0.2" });
  t.after(() => server.stop());
  const [a] = (await processes(t, 1, { connections: 1 })) as [TestIngress];
  const first = await a.connect(server);
  assert.match(await first.reply(), /^220 /);
  const second = await a.connect(server);
  assert.equal(await second.untilClosed(), "");
  assert.equal(server.connections, 1);
  assert.equal((await first.command("EHLO client.example")).slice(0, 3), "250", "the first goes on");
  first.close();
});

test("connections that pass unread count as well", async (t) => {
  const server = await startSmtpPeer({ address: "127.0.0.2" });
  t.after(() => server.stop());
  const ingress = await startTestIngress({
    listeners: [transparent({ pickup: { outgoing: "pass" } })],
    limits: { clients: { connections: 1 } },
  });
  t.after(() => ingress.close(0));
  const first = await ingress.connect(server);
  assert.match(await first.reply(), /^220 /);
  const second = await ingress.connect(server);
  assert.equal(await second.untilClosed(), "");
  assert.equal(server.connections, 1);
  first.close();
});

test("a process with all its connections gives 421 4.3.2 to every client, and goes on when some are closed", async (t) => {
  const ingress = await startTestIngress({
    listeners: [transparent(), { name: "submission", address: "127.0.0.1", port: 0 }],
    limits: { connections: 2 },
  });
  t.after(() => ingress.close(0));
  const ours = { address: "127.0.0.1", port: 25 };
  const [first, second, third] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map((address) =>
    ingress.connect(ours, { address, port: 40_000 }),
  );
  assert.match((await (await first)?.reply()) ?? "", /^220 /);
  assert.match((await (await second)?.reply()) ?? "", /^220 /);
  assert.match((await (await third)?.untilClosed()) ?? "", /^421 4\.3\.2 /);
  assert.match((await submit(ingress)).greeting, /^421 4\.3\.2 /);
  assert.deepEqual(
    ingress.events("pressure.begin").map(({ pressure }) => pressure),
    ["connections"],
  );
  assert.deepEqual(ingress.events("session.refused"), [], "one line is enough for all");
  (await first)?.close();
  await waitFor("a connection to be free", async () => {
    const { client, greeting } = await submit(ingress);
    client.close();
    return greeting.startsWith("220");
  });
  (await second)?.close();
});

test("clients that stay after 421 4.3.2 are no more than the connections of the process; others are reset", async (t) => {
  const ingress = await startTestIngress({
    listeners: [{ name: "submission", address: "127.0.0.1", port: 0 }],
    limits: { connections: 2 },
  });
  t.after(() => ingress.close(0));
  const open = [];
  for (let i = 0; i < 4; i++) {
    const client = await SmtpClient.connect(ingress.port("submission"));
    client.socket.allowHalfOpen = true;
    t.after(async () => client.close());
    open.push((await client.reply()).slice(0, 9));
  }
  assert.deepEqual(open.slice(2), ["421 4.3.2", "421 4.3.2"]);
  // The reset may come before connect() returns.
  const heard = await SmtpClient.connect(ingress.port("submission")).then(
    (client) => client.untilClosed(),
    (error: NodeJS.ErrnoException) => error.code,
  );
  assert.ok(heard === "" || heard === "ECONNRESET", heard);
});

test("without a setting a client has a hundred connections", async (t) => {
  const ingress = await startTestIngress({
    listeners: [{ name: "submission", address: "127.0.0.1", port: 0 }],
  });
  t.after(() => ingress.close(0));
  const open = await Promise.all(Array.from({ length: 100 }, () => submit(ingress)));
  assert.ok(open.every(({ greeting }) => greeting.startsWith("220 ")));
  assert.match((await submit(ingress)).greeting, /^421 4\.7\.0 /);
  for (const { client } of open) client.close();
});

test("messages over the rate are answered 450 at MAIL, and the session goes on", async (t) => {
  const [a, b] = (await processes(t, 2, { rate: "3/1h" })) as [TestIngress, TestIngress];
  const first = await submit(a);
  const second = await submit(b);
  assert.deepEqual(await mail(first.client, 2), ["250 2.1.0", "250 2.1.0"]);
  assert.deepEqual(await mail(second.client, 2), ["250 2.1.0", "450 4.7.1"]);
  assert.deepEqual(await mail(first.client, 1), ["450 4.7.1"]);
  assert.equal((await first.client.command("NOOP")).slice(0, 3), "250");
  const [refusal] = b.events("message.refused");
  assert.equal(refusal?.stage, "MAIL");
  assert.match(String(refusal?.reply), /^450 4\.7\.1 /);
  first.client.close();
  second.client.close();
});

test("commands sent behind a MAIL wait for its answer, and all are answered in order", async (t) => {
  const [a] = (await processes(t, 1, { rate: "1/1h" })) as [TestIngress];
  const { client } = await submit(a);
  await client.command("EHLO client.example");
  client.write(
    "MAIL FROM:<a@b.example>\r\nRSET\r\nNOOP\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nQUIT\r\n",
  );
  const codes: string[] = [];
  for (let i = 0; i < 6; i++) codes.push((await client.reply()).slice(0, 3));
  assert.deepEqual(codes, ["250", "250", "250", "450", "503", "221"]);
});

test("the outgoing proxy answers MAIL over the rate itself; the server never sees it", async (t) => {
  const server = await startSmtpPeer({ address: "127.0.0.2" });
  t.after(() => server.stop());
  const [a] = (await processes(t, 1, { rate: "2/1h" })) as [TestIngress];
  const client = await a.connect(server);
  await client.reply();
  client.write(
    "EHLO client.example\r\nMAIL FROM:<1@x.example>\r\nRSET\r\nMAIL FROM:<2@x.example>\r\nRSET\r\nMAIL FROM:<3@x.example>\r\nNOOP\r\n",
  );
  const replies: string[] = [];
  for (let i = 0; i < 7; i++) replies.push((await client.reply()).slice(0, 9));
  assert.deepEqual(replies.slice(1), [
    ...["250 2.1.0", "250 2.0.0", "250 2.1.0", "250 2.0.0", "450 4.7.1", "250 2.0.0"],
  ]);
  assert.deepEqual(
    server.commands.filter((line) => line.includes("MAIL")),
    ["1: MAIL FROM:<1@x.example>", "1: MAIL FROM:<2@x.example>"],
  );
  const [refusal] = a.events("message.refused");
  assert.equal(refusal?.client, "192.0.2.7");
  assert.equal(await client.command("QUIT"), "221 2.0.0 bye");
});

test("without Redis each process counts for itself; refusals are counted", async (t) => {
  const metrics = createMetrics("ingress");
  const ingress = await startTestIngress(
    { listeners, limits: { clients: { connections: 1, rate: "1/1h" } } },
    { metrics },
  );
  t.after(() => ingress.close(0));
  const { client } = await submit(ingress);
  assert.match((await submit(ingress)).greeting, /^421 /);
  assert.deepEqual(await mail(client, 2), ["250 2.1.0", "450 4.7.1"]);
  const text = await metrics.text();
  assert.match(text, /postern_client_limit_refusals_total\{[^}]*limit="connections"[^}]*\} 1/);
  assert.match(text, /postern_client_limit_refusals_total\{[^}]*limit="rate"[^}]*\} 1/);
  client.close();
});
