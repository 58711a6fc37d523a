/** A disk that fails, is slow or full, Redis near maxmemory, too many connections: refused in time, once in the log, and over by itself. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, type StatsFs } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { type RunningIngress, startIngress } from "../../services/ingress/ingress.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { testConfig } from "../support/config.ts";
import { startRedis } from "../support/redis.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { waitFor } from "../support/wait-for.ts";
import { failure, faultyFiles } from "../unit/spool/faulty-files.ts";

const mb = 2 ** 20;

interface Given {
  pressure?: NonNullable<NonNullable<Parameters<typeof testConfig>[0]>["limits"]>["pressure"];
  connections?: number;
  redisUrl?: string;
}

async function startWorld(t: TestContext, { pressure, connections, redisUrl }: Given = {}) {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-pressure-"));
  const disk = faultyFiles();
  const space = { freeBytes: 10_000 * mb };
  const spool = createFsSpool({
    directory,
    slowMs: 250,
    files: {
      ...disk.files,
      statfs: (_, done) => done(null, { bavail: space.freeBytes / 4096, bsize: 4096 } as StatsFs),
    },
  });
  const lines: Record<string, unknown>[] = [];
  const log = createLogger("ingress", { write: (line) => lines.push(JSON.parse(line)) });
  const metrics = createMetrics("ingress");
  const redis = redisUrl === undefined ? undefined : createRedis({ url: redisUrl }, "plain", log);
  const ingress: RunningIngress = await startIngress({
    config: testConfig({
      listeners: [
        { name: "submission", address: "127.0.0.1", port: 0, destination: "self", early_talker: 0 },
      ],
      relay: { clients: ["127.0.0.0/8"] },
      limits: {
        ...(pressure === undefined ? {} : { pressure }),
        ...(connections === undefined ? {} : { connections }),
      },
    }),
    log,
    metrics,
    spool,
    publisher: { publish() {}, backlog: 0, async close() {} },
    ...(redis === undefined ? {} : { redis }),
  });
  const clients: SmtpClient[] = [];
  t.after(async () => {
    for (const client of clients) client.close();
    disk.thaw();
    await ingress.close(0);
    redis?.disconnect();
    await spool.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const port = ingress.addresses[0]?.port ?? 0;
  const connect = async (): Promise<SmtpClient> => {
    const client = await SmtpClient.connect(port);
    clients.push(client);
    return client;
  };
  /** @returns the reply to MAIL */
  const offer = async (parameters = ""): Promise<string> => {
    const client = await connect();
    await client.reply();
    await client.command("EHLO client.test");
    const reply = await client.command(`MAIL FROM:<a@example.net>${parameters}`);
    client.close();
    return reply;
  };
  /** Sends a message up to its final dot. */
  const send = async (): Promise<SmtpClient> => {
    const client = await connect();
    await client.reply();
    for (const line of ["EHLO client.test", "MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>", "DATA"])
      await client.command(line);
    client.write("Subject: x\r\n\r\nx\r\n.\r\n");
    return client;
  };
  const events = () =>
    lines
      .filter(({ event }) => /^pressure\./.test(String(event)))
      .map(({ event, pressure, refused }) =>
        [event, pressure, ...(refused === undefined ? [] : [refused])].join(" "),
      );
  const until = (reply: RegExp, parameters = "") =>
    waitFor(`MAIL to get ${reply}`, async () => reply.test(await offer(parameters)));
  return { disk, space, ingress, metrics, connect, offer, send, events, until };
}

test("after a failed fdatasync mail is refused with 451, and taken again when the disk is well, though none has come", async (t) => {
  const { disk, ingress, metrics, offer, send, events } = await startWorld(t);
  assert.match(await (await send()).reply(), /^250 /);
  disk.decide = (call) => (call === "fdatasync" ? failure("EIO") : "do");
  assert.match(await (await send()).reply(), /^451 4\.3\.0 /);
  assert.match(await offer(), /^451 4\.3\.0 /);
  assert.match(await offer(), /^451 4\.3\.0 /);
  const health = await ingress.health();
  assert.equal(health.ready, false);
  assert.match(health.reasons.join(), /^no mail is accepted: the disk of the spool fails: .*EIO/);
  assert.match(await metrics.text(), /postern_pressure\{pressure="disk-failing",service="ingress"\} 1/);
  assert.match(
    await metrics.text(),
    /postern_pressure_refusals_total\{pressure="disk-failing",service="ingress"\} 2/,
  );
  disk.thaw();
  await waitFor("a probe to succeed", async () => (await ingress.health()).ready);
  assert.match(await (await send()).reply(), /^250 /);
  assert.deepEqual(events(), ["pressure.begin disk-failing", "pressure.end disk-failing 2"]);
});

test("while a write hangs further mail is refused with 451, and the message whose write it is gets its 250", async (t) => {
  const { disk, ingress, offer, send, events, until } = await startWorld(t, {
    pressure: { disk_latency: "1s" },
  });
  disk.decide = (call) => (call === "fdatasync" ? "freeze" : "do");
  const first = await send();
  await until(/^451 4\.3\.0 /);
  const { ready, reasons } = await ingress.health();
  assert.equal(ready, false);
  assert.match(reasons.join(), /the disk of the spool is slow: it has been writing messages for /);
  disk.thaw();
  assert.match(await first.reply(), /^250 /);
  await until(/^250 /);
  assert.match(await offer(), /^250 /);
  assert.deepEqual(
    events().map((line) => line.replace(/ \d+$/, "")),
    ["pressure.begin disk-slow", "pressure.end disk-slow"],
  );
});

test("with too little free space mail is refused with 452 at MAIL, by its declared size too, until there is more", async (t) => {
  const { space, ingress, offer, events, until } = await startWorld(t, { pressure: { disk_free: "500MB" } });
  space.freeBytes = 530 * mb;
  await until(/^452 4\.3\.1 /, ` SIZE=${40 * mb}`);
  assert.match(await offer(), /^250 /);
  assert.deepEqual(events(), [], "one message is too large, and others are not");
  space.freeBytes = 400 * mb;
  await until(/^452 4\.3\.1 /);
  assert.deepEqual((await ingress.health()).reasons, [
    "no mail is accepted: the disk of the spool is nearly full: 400 MB are free, of 500 MB",
  ]);
  space.freeBytes = 700 * mb;
  await until(/^250 /);
  assert.equal((await ingress.health()).ready, true);
  assert.deepEqual(events()[0], "pressure.begin disk-full");
  assert.match(events()[1] ?? "", /^pressure\.end disk-full [1-9]/);
  assert.equal(events().length, 2);
});

test("with Redis near maxmemory mail is refused with 452, and taken while Redis is out of reach", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  const { offer, events, until } = await startWorld(t, { redisUrl: redis.url });
  assert.match(await offer(), /^250 /);
  const used = Number(/used_memory:(\d+)/.exec(await redis.command("INFO memory"))?.[1]);
  await redis.command(`CONFIG SET maxmemory ${used}`);
  await until(/^452 4\.3\.1 /);
  await redis.command(`CONFIG SET maxmemory ${used * 10}`);
  await until(/^250 /);
  await redis.command(`CONFIG SET maxmemory ${used}`);
  await until(/^452 4\.3\.1 /);
  await redis.kill();
  await until(/^250 /);
  assert.deepEqual(
    events().map((line) => line.replace(/ \d+$/, "")),
    ["begin", "end", "begin", "end"].map((which) => `pressure.${which} redis-memory`),
  );
});

test("connections beyond the limit get 421 4.3.2, and all of them one line in the log", async (t) => {
  const { connect, ingress, events } = await startWorld(t, { connections: 2 });
  const open = [await connect(), await connect()];
  for (const client of open) assert.match(await client.reply(), /^220 /);
  for (let i = 0; i < 2; i++) assert.match(await (await connect()).untilClosed(), /^421 4\.3\.2 /);
  const { ready, warnings } = await ingress.health();
  assert.equal(ready, true);
  assert.deepEqual(warnings, ["connections are refused: this process has 2 of 2 connections open"]);
  for (const client of open) client.close();
  await waitFor("the end", () => events().length === 2);
  assert.deepEqual(events(), ["pressure.begin connections", "pressure.end connections 2"]);
  assert.match(await (await connect()).reply(), /^220 /);
});
