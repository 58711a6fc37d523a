import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { commands } from "../../services/cli/commands.ts";
import { dispatch } from "../../services/cli/dispatch.ts";
import { createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import { announceService } from "../../shared/runtime/announcement.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { bucketsOver, readTraffic, TrafficPublisher } from "../../shared/runtime/traffic.ts";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

const log = createLogger("test", { write() {} });
let admin: TestAdmin;
let directory: string;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "status-"));
  admin = await startTestAdmin();
  await writeFile(
    path.join(directory, "postern.yaml"),
    `hostname: gw.example.net
data: ${directory}/data
listeners: [{ name: submission, address: 127.0.0.1, port: 0 }]
admin: { port: ${new URL(admin.url).port}, token: ${token} }
`,
  );
});
after(async () => {
  await admin.close();
  await rm(directory, { recursive: true });
});

async function postern(...words: string[]): Promise<{ status: number; out: string; err: string }> {
  const ended = { status: 0, out: "", err: "" };
  const io = {
    stdin: process.stdin,
    stdout: { columns: 80, write: (text: string) => (ended.out += text) },
    stderr: { write: (text: string) => (ended.err += text) },
  };
  const all = ["-c", path.join(directory, "postern.yaml"), ...words];
  ended.status = await dispatch({ commands, version: "0" }, all, io);
  return ended;
}

interface Status {
  ok: boolean;
  reasons: string[];
  services: { name: string; state: string; version?: string }[];
  rates: Record<string, Record<string, number>> | null;
  queues: { name: string; deferred: number; oldestSeconds: number | null }[] | null;
  oldestSeconds: number | null;
  worst: { destination: string; messages: number; reason: { code: number; text: string } }[];
  dead: number;
  next: { text: string; command: string | null }[];
}
async function status(): Promise<Status> {
  return (await (await admin.get("/api/v1/status")).json()) as Status;
}

test("without services it is not well, says which to start, and the command fails", async () => {
  const { ok, services, next } = await status();
  assert.equal(ok, false);
  assert.deepEqual(
    services.map(({ name, state }) => `${name} ${state}`),
    ["ingress missing", "delivery missing", "bounce missing"],
  );
  assert.equal(next[0]?.command, "postern ingress");
  const { status: exit, out } = await postern("status");
  assert.equal(exit, 1);
  assert.match(out, /^NOT OK\n {2}ingress: no instance has announced itself\n/);
  assert.match(out, /Next: Start ingress: none is running\.\n {6}postern ingress\n/);
});

test("with all services it is well, with deferred mail by destination and why", async () => {
  for (const name of ["ingress", "delivery", "bounce"]) await admin.announce(name);
  const receivedAtMs = Date.now() - 6 * 3_600_000;
  for (let n = 0; n < 3; n++) {
    await admin.accept({ to: [[`u${n}@two.example`], [`u${n}@one.example`]], receivedAtMs });
  }
  await admin.accept({ to: [["x@two.example"]] });
  await admin.defer("<u1@two.example> mailbox full, 17 MB over quota");
  const dead = await admin.accept({ from: "", to: [["nobody@three.example"]] });
  await admin.moveToDead(dead, "no such user");
  await waitFor("the services", async () => (await status()).ok);
  const seen = await status();
  assert.deepEqual(
    seen.worst.map(({ destination, messages, reason }) => [destination, messages, reason.code, reason.text]),
    [
      ["two.example", 4, 450, "… mailbox full, … MB over quota"],
      ["one.example", 3, 450, "… mailbox full, … MB over quota"],
    ],
  );
  assert.equal(seen.queues?.find(({ name }) => name === "delivery")?.deferred, 7);
  assert.ok((seen.oldestSeconds ?? 0) >= 6 * 3_600);
  assert.equal(seen.dead, 1);
  assert.deepEqual(
    seen.next.map(({ command }) => command),
    ["postern queue list --status dead", "postern destination two.example"],
  );
  const { status: exit, out } = await postern("status");
  assert.equal(exit, 0);
  assert.match(out, /^OK: mail is accepted, delivered and returned\.\n/);
  assert.match(out, /two\.example +4 +6h +450 4\.7\.1 … mailbox full, … MB over qu/);
  assert.deepEqual(
    out.split("\n").filter((line) => line.length > 80),
    [],
  );
  const asJson = JSON.parse((await postern("status", "--json")).out) as Status;
  assert.equal(asJson.ok, true);
});

test("what a process counts shows in the rates of the gateway, and stays when it has ended", async (t) => {
  const metrics = createMetrics("ingress");
  const redis = { url: admin.redis.url };
  const announced = announceService({
    redis,
    name: "ingress",
    url: null,
    log,
    version: "1.2.3",
    metrics,
    unscheduled: () => 12,
    health: async () => ({ ready: true, reasons: [] }),
  });
  t.after(() => announced.close());
  const connections = metrics.counter("connections_total", "connections", ["listener", "row", "handler"]);
  connections.with("transparent", "client-server", "outgoing-proxy").add(20);
  connections.with("other", "client-server", "outgoing-proxy").add(5);
  connections.with("transparent", "to-protected", "queue").add(10);
  metrics.counter("proxy_not_inspected_total", "opaque", ["reason"]).with("starttls").add(15);
  metrics.counter("messages_accepted_total", "accepted").with().add(30);
  metrics.counter("delivery_outcomes_total", "outcomes", ["outcome", "class"]).with("deferred", "4xx").add(7);
  await waitFor("the version", async () =>
    (await status()).services.some(({ version }) => version === "1.2.3"),
  );
  const drain = (await (await admin.get("/api/v1/drain")).json()) as { mail: { waiting: number } };
  assert.ok(drain.mail.waiting >= 12, "mail that Redis has no room for yet");
  metrics.counter("refusals_total", "refusals", ["reply"]).with("550 5.7.1").add(4);
  await announced.close();
  await waitFor("the rates", async () => ((await status()).rates?.["1m"]?.accepted ?? 0) > 0);
  const { rates } = await status();
  assert.deepEqual([rates?.["1m"]?.accepted, rates?.["5m"]?.accepted], [30, 6]);
  assert.deepEqual([rates?.["1m"]?.deferred, rates?.["1m"]?.refused], [7, 4]);
  const bySession = (await (await admin.get("/api/v1/status")).json()) as { sessions: object };
  assert.deepEqual(bySession.sessions, { "client-server": 5, "to-protected": 2, opaque: 3 });
  assert.match(
    (await postern("status")).out,
    /\nSessions a minute: 5 client-server, 2 to-protected; 3 of them opaque \(TLS\)\n/,
  );
  interface History {
    buckets: { at: string; measured: boolean; accepted: number; rows: Record<string, number> }[];
  }
  const history = async () => (await (await admin.get("/api/v1/rates?minutes=2")).json()) as History;
  assert.equal((await history()).buckets.length, 12);
  // It has whole buckets only.
  const buckets = await waitFor("the end of the bucket", async () => {
    const { buckets } = await history();
    return buckets.some(({ accepted }) => accepted > 0) ? buckets : undefined;
  });
  assert.equal(buckets[0]?.measured, false, "before the gateway was started nobody counted");
  assert.ok(buckets.some(({ measured }) => measured));
  assert.ok(buckets.every(({ measured, accepted }) => measured || accepted === 0));
  assert.equal(
    buckets.reduce((sum, { accepted }) => sum + accepted, 0),
    30,
  );
  assert.equal(
    buckets.reduce((sum, { rows }) => sum + (rows.opaque ?? 0), 0),
    15,
  );
});

test("the status asks Redis once for its memory", async (t) => {
  const redis = createRedis({ url: admin.redis.url }, "plain", log);
  t.after(() => redis.disconnect());
  await redis.config("RESETSTAT");
  await status();
  assert.match(await redis.info("commandstats"), /^cmdstat_info:calls=1,/m);
});

test("a process without traffic says once in ten seconds that it counts nothing", async (t) => {
  const redis = createRedis({ url: admin.redis.url }, "plain", log);
  t.after(() => redis.disconnect());
  const publisher = new TrafficPublisher({ totals: () => new Map() });
  // A time of its own, in which no other process reports.
  const atMs = Date.parse("2026-01-01T12:00:00Z");
  for (const laterMs of [0, 2_000, 20_000]) await publisher.publish(redis, atMs + laterMs);
  const buckets = bucketsOver(await readTraffic(redis, 1, atMs + 40_000), 1);
  assert.deepEqual(
    buckets.map(({ isMeasured }) => isMeasured),
    [false, false, true, false, true, false],
  );
  assert.equal(await redis.hget(`{postern}:traffic:${atMs / 10_000}`, "reported"), "1");
});

test("a service that ends without a word is named until it is back", async (t) => {
  const connection = createRedis({ url: admin.redis.url }, "plain", log);
  t.after(() => connection.disconnect());
  const startedAt = new Date(Date.now() - 60_000).toISOString();
  const announcement = {
    name: "delivery",
    pid: 4711,
    host: "gw2",
    url: null,
    ready: true,
    reasons: [],
    startedAt,
  };
  await connection.hset(
    "{postern}:services-seen",
    "an-id",
    JSON.stringify({ ...announcement, lastSeenMs: Date.now() - 12_000 }),
  );
  const seen = await status();
  assert.equal(seen.ok, false);
  assert.match(seen.reasons.join(), /delivery on gw2 \(pid 4711\) has ended without a word, 1[2-9]s ago/);
  assert.match(seen.next[0]?.text ?? "", /Read the log of delivery/);
  await connection.hset(
    "{postern}:services-seen",
    "an-id",
    JSON.stringify({ ...announcement, lastSeenMs: Date.now() - 3_600_000 }),
  );
  assert.equal((await status()).ok, true, "an hour later nobody asks for it");
});

test("a summary fits 80 columns, with reasons as code and words", async () => {
  const byDestination = await postern("queue", "summary");
  assert.match(byDestination.out, /^DESTINATION +MAIL +5 +10 +20 +40 +80 +160 +320 +640 +1280 +older\n/);
  assert.match(byDestination.out, /\ntwo\.example +4 +1 +\. +\. +\. +\. +\. +\. +3 +\. +\.\n/);
  assert.match(byDestination.out, /8 messages, the oldest 6h.* old/);
  const byReason = await postern("queue", "summary", "--by", "reason");
  assert.match(byReason.out, /\n +7 .* 450 4\.7\.1 … mailbox full/);
  for (const { out } of [byDestination, byReason]) {
    assert.deepEqual(
      out.split("\n").filter((line) => line.length > 80),
      [],
    );
  }
  const rows = JSON.parse((await postern("queue", "summary", "--by", "reason", "--json")).out) as object[];
  assert.deepEqual(Object.keys(rows[0] ?? {}).slice(0, 2), ["key", "messages"]);
  const none = await postern("queue", "summary", "--to", "*@nowhere.example");
  assert.deepEqual([none.status, none.err], [1, "postern: no message matches\n"]);
});

test("a destination says who uses its connections, why it is slow, and what waits for it", async (t) => {
  const redis = { url: admin.redis.url };
  const limiter = createClusterLimiter({ redis, log, deadDestinations: { firstMs: 60_000, maxMs: 60_000 } });
  t.after(() => limiter.close());
  const request = { destination: "two.example", connections: 20, reachabilityKey: "mx two.example" };
  assert.equal((await limiter.takeSlot(request)).kind, "slot");
  const said = await postern("destination", "two.example");
  assert.equal(said.status, 0);
  assert.match(said.out, new RegExp(`1 by ${hostname()} \\(pid ${process.pid}\\)`));
  assert.match(said.out, /Waiting: 4, the oldest for 6h/);
  assert.match(said.out, /450 4\.7\.1 … mailbox full/);
  const reason = "cannot connect to mx.two.example [192.0.2.1] port 25: refused";
  const diagnosis = { status: "4.4.1", class: "connect", reason, atMs: Date.now() } as const;
  limiter.reportNoAnswer("two.example", "mx two.example", diagnosis, Date.now());
  await waitFor("the dead destination", async () =>
    (await postern("destination", "two.example")).out
      .replace(/\s+/g, " ")
      .includes(`No host answers: ${reason}. It has been so for `),
  );
  assert.equal((await postern("destination", "nowhere.example")).status, 1);
});

test("with Redis away it is not well, and says so at once", async () => {
  await admin.redis.stop();
  const seen = await status();
  assert.equal(seen.ok, false);
  assert.match(seen.reasons.join(), /Redis is out of reach/);
  assert.equal(seen.queues, null);
  assert.match(seen.next[0]?.text ?? "", /nothing is lost/);
  await admin.redis.restart();
});
