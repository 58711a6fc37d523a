import assert from "node:assert/strict";
import type { StatsFs } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { startHealthServer } from "../../shared/runtime/health-server.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { nodeFiles, type SpoolFiles } from "../../shared/spool/fs/disk/files.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

let admin: TestAdmin;
beforeEach(async () => {
  admin = await startTestAdmin();
});
afterEach(() => admin.close());

interface Health {
  live: boolean;
  ready: boolean;
  reasons: string[];
}

async function health(): Promise<{ status: number; body: Health; ms: number }> {
  const startedAt = performance.now();
  const answer = await admin.get("/health", {});
  const body = (await answer.json()) as Health;
  return { status: answer.status, body, ms: performance.now() - startedAt };
}

test("the gateway is ready once every service has announced itself", async () => {
  const before = await health();
  assert.equal(before.status, 503);
  assert.deepEqual(before.body, {
    live: true,
    ready: false,
    reasons: ["ingress", "delivery", "bounce"].map((name) => `${name}: no instance has announced itself`),
  });
  for (const name of ["ingress", "delivery", "bounce"]) await admin.announce(name);
  await waitFor("readiness", async () => (await health()).status === 200);
  assert.deepEqual((await health()).body, { live: true, ready: true, reasons: [] });
});

test("with Redis stopped or frozen health says so soon, and recovers", async () => {
  for (const name of ["ingress", "delivery", "bounce"]) await admin.announce(name);
  await waitFor("readiness", async () => (await health()).status === 200);
  admin.redis.freeze();
  const frozen = await health();
  admin.redis.thaw();
  assert.equal(frozen.status, 503);
  assert.match(frozen.body.reasons.join(), /Redis is out of reach/);
  assert.ok(frozen.ms < 30_000, `${frozen.ms} ms`);
  await admin.redis.stop();
  const stopped = await health();
  assert.equal(stopped.status, 503);
  assert.match(stopped.body.reasons.join(), /Redis is out of reach/);
  assert.ok(stopped.ms < 30_000, `${stopped.ms} ms`);
  await admin.redis.restart();
  await waitFor("readiness", async () => (await health()).status === 200);
});

test("a full Redis is named although it answers, and the services are still known", async () => {
  for (const name of ["ingress", "delivery", "bounce"]) await admin.announce(name);
  await waitFor("readiness", async () => (await health()).status === 200);
  await admin.redis.command("CONFIG SET maxmemory 1");
  const full = await health();
  assert.equal(full.status, 503);
  assert.equal(full.body.reasons.length, 1);
  assert.match(String(full.body.reasons[0]), /^Redis is full: /);
  await admin.redis.command("CONFIG SET maxmemory 0");
  assert.equal((await health()).status, 200);
});

test("a disk that is full or cannot be written is named at once, and so is its recovery", async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), "health-"));
  t.after(() => rm(directory, { recursive: true }));
  let freeBytes = 10 * 2 ** 20;
  let isReadOnly = false;
  let hasDescriptors = true;
  const files: SpoolFiles = {
    ...nodeFiles,
    statfs: (_path, done) => done(null, { bavail: freeBytes, bsize: 1 } as StatsFs),
    open: (name, flags, mode, done) =>
      hasDescriptors || name !== directory
        ? nodeFiles.open(name, flags, mode, done)
        : done(Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" }), -1),
    access: (_path, _mode, done) =>
      done(isReadOnly ? Object.assign(new Error("EROFS"), { code: "EROFS" }) : null),
  };
  await admin.close();
  // Full from the start.
  admin = await startTestAdmin({}, { spool: createFsSpool({ directory, files }) });
  for (const name of ["ingress", "delivery", "bounce"]) await admin.announce(name);
  const full = "the disk of the spool is full, and no mail is accepted: less than 64 MB would be left";
  assert.ok((await health()).body.reasons.some((reason) => reason.startsWith(full)));
  freeBytes = 100 * 2 ** 20;
  await waitFor("the services to be announced", async () => (await health()).status === 200);
  freeBytes = 10 * 2 ** 20;
  const again = await health();
  assert.equal(again.status, 503);
  assert.ok(again.body.reasons[0]?.startsWith(full));
  freeBytes = 100 * 2 ** 20;
  assert.equal((await health()).status, 200);
  hasDescriptors = false;
  assert.match(
    String((await health()).body.reasons[0]),
    /^the spool cannot be used, .*: EMFILE: too many open files$/,
  );
  hasDescriptors = true;
  isReadOnly = true;
  assert.match(String((await health()).body.reasons[0]), /^the spool cannot be used, .*: EROFS$/);
});

test("a service of this machine that was killed is named at once, although its announcement still stands", async () => {
  const server = await startHealthServer(
    { address: "127.0.0.1", port: 0 },
    () => ({ ready: true, reasons: [] }),
    createMetrics("delivery"),
  );
  for (const name of ["ingress", "bounce"]) await admin.announce(name);
  await admin.announce("delivery", { ready: true, reasons: [] }, server.url);
  await waitFor("readiness", async () => (await health()).status === 200);
  await server.close();
  const { status, body } = await health();
  assert.equal(status, 503);
  assert.deepEqual(body.reasons, [`delivery on ${hostname()} is not ready: its process has ended`]);
});

test("a service of this machine is asked for its health as it is now", async () => {
  let reasons = ["the hold rules are not known yet"];
  const server = await startHealthServer(
    { address: "127.0.0.1", port: 0 },
    () => ({ ready: reasons.length === 0, reasons }),
    createMetrics("delivery"),
  );
  for (const name of ["ingress", "bounce"]) await admin.announce(name);
  await admin.announce("delivery", { ready: true, reasons: [] }, server.url);
  const notReady = [`delivery on ${hostname()} is not ready: the hold rules are not known yet`];
  await waitFor("only delivery to be missing", async () =>
    isDeepStrictEqual((await health()).body.reasons, notReady),
  );
  reasons = [];
  assert.equal((await health()).status, 200);
  await server.close();
});

test("metrics show queue depths, the spool and the oldest message, and are served without Redis too", async () => {
  await admin.accept({ receivedAtMs: Date.now() - 3_600_000 });
  await admin.accept({ to: [["b@example.com"], ["c@example.org"]] });
  const scrape = async () => {
    const answer = await admin.get("/metrics", {});
    assert.equal(answer.status, 200);
    assert.match(String(answer.headers.get("content-type")), /^text\/plain; version=0\.0\.4/);
    return answer.text();
  };
  const value = (text: string, name: string, labels = "") =>
    Number(new RegExp(`^postern_${name}{[^}]*${labels}[^}]*} (\\S+)$`, "m").exec(text)?.[1]);
  const oldest = await waitFor("the oldest message", async () => {
    const seconds = value(await scrape(), "oldest_message_seconds");
    return seconds > 0 ? seconds : undefined;
  });
  assert.ok(oldest >= 3599 && oldest < 3700, String(oldest));
  const text = await scrape();
  assert.equal(value(text, "queue_jobs", 'queue="delivery",state="waiting"'), 3);
  assert.equal(value(text, "queue_jobs", 'queue="dead",state="dead"'), 0);
  await waitFor("the spool's size", async () => value(await scrape(), "spool_bytes", 'kind="used"') > 0);
  assert.equal(value(text, "redis_up"), 1);
  assert.match(text, /^process_cpu_seconds_total/m);
  await admin.redis.stop();
  const without = await scrape();
  assert.equal(value(without, "redis_up"), 0);
  assert.ok(!/^postern_queue_jobs{/m.test(without));
});

test("the page and its files are there without a token, hold no facts, and load nothing from elsewhere", async () => {
  const { meta } = await admin.accept();
  await admin.redis.stop();
  const answer = await admin.get("/", {});
  assert.equal(answer.status, 200);
  assert.match(String(answer.headers.get("content-type")), /^text\/html/);
  const policy = String(answer.headers.get("content-security-policy"));
  assert.match(policy, /default-src 'none'; script-src 'self' 'sha256-[\w+/]+='; style-src 'self'/);
  assert.ok(!policy.includes("unsafe"), policy);
  const page = await answer.text();
  assert.ok(!page.includes(meta.id) && !page.includes(admin.config.hostname));
  assert.doesNotMatch(page, /(src|href)="(https?:)?\/\//);
  const files = [...page.matchAll(/"(\/assets\/[\w./-]+\.(?:js|css))"/g)].map(([, file]) => file ?? "");
  assert.ok(files.length >= 5, page);
  for (const file of files) {
    const asset = await admin.get(file, {});
    assert.equal(asset.status, 200, file);
    const etag = String(asset.headers.get("etag"));
    assert.equal((await admin.get(file, { "if-none-match": etag })).status, 304, file);
  }
  assert.equal((await admin.get("/assets/app/index.html", {})).status, 404);
  assert.equal((await admin.get("/assets/app/../../admin.ts", {})).status, 404);
});

test("Bull Board shows the queues and changes nothing, with the token or without", async () => {
  const { meta } = await admin.accept();
  const page = await admin.get("/queues", {});
  assert.equal(page.status, 200);
  assert.match(await page.text(), /<title>Postern<\/title>/);
  const { queues } = (await (await admin.get("/queues/api/queues?activeQueue=delivery", {})).json()) as {
    queues: { name: string; readOnlyMode: boolean; jobs: { id: string; name: string }[] }[];
  };
  assert.deepEqual(
    queues.map(({ name, readOnlyMode }) => [name, readOnlyMode]),
    ["delivery", "delivery-slow", "bounce", "dead"].map((name) => [name, true]),
  );
  assert.equal(queues[0]?.jobs[0]?.name, "a@example.net → b@example.com");
  for (const [method, path] of [
    ["PUT", "/queues/api/queues/pause"],
    ["PUT", `/queues/api/queues/delivery/${meta.id}-0/clean`],
    ["PUT", "/queues/api/queues/delivery/obliterate"],
    ["PUT", "/queues/api/queues/delivery/empty"],
    ["POST", "/queues/api/queues/delivery/add"],
  ]) {
    const send = (headers: Record<string, string>) =>
      fetch(`${admin.url}${path}`, {
        method: String(method),
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ name: "x", data: {}, options: {} }),
      });
    assert.equal((await send({})).status, 401, path);
    await send({ authorization: "Bearer test-token-of-the-admin" });
  }
  const { delivery } = await admin.inspector.counts();
  assert.equal(delivery.waiting, 1);
  assert.match(await admin.redis.command("HEXISTS {postern}:delivery:meta paused"), /^:0/);
  assert.equal((await admin.get("/queues/static/../../package.json", {})).status, 404);
  assert.equal((await admin.get("/queues/static/%2e%2e/%2e%2e/package.json", {})).status, 404);
});

test("octets that are not HTTP are answered and the connection is closed", async () => {
  const { hostname, port } = new URL(admin.url);
  for (const octets of [
    "EHLO me\r\n\r\n",
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`,
    "\0\0\0\0\r\n\r\n",
  ]) {
    const socket = net.connect(Number(port), hostname);
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("error", () => {});
    socket.write(octets);
    await new Promise((resolve) => socket.once("close", resolve));
    assert.match(answer, /^HTTP\/1\.1 4\d\d [\s\S]*application\/problem\+json/);
  }
  assert.equal((await admin.get("/health", {})).status, 503);
});

test("the admin stops within the grace time although a client keeps its connection open", async () => {
  const { hostname, port } = new URL(admin.url);
  const socket = net.connect(Number(port), hostname);
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write("POST /api/v1/messages/retry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const startedAt = performance.now();
  await admin.admin.close(300);
  await closed;
  assert.ok(performance.now() - startedAt < 30_000);
  socket.destroy();
});
