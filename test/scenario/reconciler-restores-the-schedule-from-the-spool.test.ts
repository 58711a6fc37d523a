import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import { writeHoldsFile } from "../../shared/queue/holds/file.ts";
import { createHolds } from "../../shared/queue/holds/store.ts";
import type { QueueProducer } from "../../shared/queue/producer.ts";
import {
  createReconciler,
  type Reconciler,
  type ReconcilerOptions,
} from "../../shared/queue/reconcile/reconciler.ts";
import { scanSpool } from "../../shared/queue/reconcile/scan.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis, type RedisConnection } from "../../shared/runtime/redis.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { createMemorySpool } from "../../shared/spool/memory.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { testConfig } from "../support/config.ts";
import { connectedProducer } from "../support/connected-producer.ts";
import { storeInFinishedSegments } from "../support/finished-segments.ts";
import { onlyShards } from "../support/only-shard.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { accept, busy, storedMessage } from "../unit/queue/stored-message.ts";

const timing = {
  tickMs: 50,
  leaseMs: 800,
  reclaimMs: 300,
  scanEveryMs: 600_000,
  collectEveryMs: 100,
  collectAtMostMs: 400,
};
const log = createLogger("test", { write() {} });
const config = testConfig({ dsn: { wave: "1s" } });
let redis: TestRedis;
let producer: QueueProducer;
let connection: RedisConnection;
let spool: Spool;
let scans: {
  reason: string;
  messages: number;
  deliveries: number;
  bounces: number;
  dead: number;
  expired: number;
}[];
const reconcilers: Reconciler[] = [];

beforeEach(async () => {
  redis ??= await startRedis();
  spool = createMemorySpool();
  scans = [];
  producer = await connectedProducer(redis, log);
  connection = createRedis({ url: redis.url }, "plain", log);
});
afterEach(async () => {
  await Promise.all(reconcilers.splice(0).map((reconciler) => reconciler.close()));
  await producer.close();
  connection.disconnect();
  await redis.flush();
  await spool.close();
});
after(async () => {
  await redis?.close();
});

function reconcile(more: Partial<ReconcilerOptions> = {}): Reconciler {
  const reconciler = createReconciler({
    spool,
    redis: { url: redis.url },
    config,
    log,
    timing,
    summarizeRoute: (message, group) => routeNamed(`again ${message.meta.id} ${group}`),
    onScan: (report) => scans.push(report),
    ...more,
  });
  reconcilers.push(reconciler);
  return reconciler;
}

async function count(command: string): Promise<number> {
  return Number(/^:(\d+)/.exec(await redis.command(command))?.[1]);
}

/** Waiting jobs of both queues. */
async function restored(): Promise<number> {
  return (await count("LLEN {postern}:delivery:wait")) + (await count("LLEN {postern}:delivery-slow:wait"));
}

test("fresh mail does not wait behind what a scan restores: beyond two hundred that goes to the slow queue", async () => {
  const receivedAtMs = Date.now() - 3_600_000;
  for (let i = 0; i < 3_000; i++) await accept(spool, storedMessage({ receivedAtMs }));
  // Accepted a moment ago: the scan may be faster than its publisher.
  const fresh = await accept(spool, storedMessage({}));
  reconcile();
  await waitFor("the first scan", () => scans.length > 0);
  assert.equal(await restored(), 3_001);
  assert.equal(await count("LLEN {postern}:delivery:wait"), 201);
  const places = await redis.command("LRANGE {postern}:delivery:wait 0 -1");
  assert.ok(places.includes(fresh.meta.id));
});

test("after FLUSHALL all mail that is not settled is enqueued again, once, and nothing else", async () => {
  const pending = await Promise.all(
    Array.from({ length: 2_500 }, () =>
      accept(spool, storedMessage({ to: ["a@example.org", "b@example.org"] }), [[0, { kind: "delivered" }]]),
    ),
  );
  for (let i = 0; i < 100; i++) await accept(spool, storedMessage({}), [[0, { kind: "delivered" }]]);
  reconcile();
  await waitFor("the first scan", () => scans.length > 0);
  assert.equal(await restored(), 2_500);

  await redis.flush();
  await waitFor("all are back", async () => (await restored()) === 2_500);
  assert.equal(
    await count(`EXISTS {postern}:delivery:${pending[0]?.meta.id}-0`),
    0,
    "that group is delivered",
  );
  assert.equal(await count(`EXISTS {postern}:delivery:${pending[0]?.meta.id}-1`), 1);
});

test("messages with a thousand next hops each are enqueued again a thousand jobs at a time", async () => {
  const to = Array.from({ length: 1_000 }, (_, i) => `user${i}@domain-${i}.example.com`);
  const receivedAtMs = Date.now() - 3_600_000;
  for (let i = 0; i < 5; i++) await accept(spool, storedMessage({ to, receivedAtMs }));
  const calls: number[] = [];
  const { report } = await scanSpool({
    spool,
    shards: onlyShards(connection),
    claims: { claim: async () => {} },
    producer: {
      ...producer,
      addGroups: async (groups, queue) => {
        const some = [...groups];
        if (some.length > 0) calls.push(some.length);
        return producer.addGroups(some, queue);
      },
    },
    config,
    holds: undefined,
    summarizeRoute: () => routeNamed("mx"),
    mayGoOn: () => true,
  });
  assert.equal(report.deliveries, 5_000);
  assert.deepEqual(calls, [200, 800, 1_000, 1_000, 1_000, 1_000]);
  assert.equal(await restored(), 5_000);
});

test("after FLUSHALL mail that was moved out of its segment is enqueued again, and one that has its job is not", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "reconciler-moved-"));
  const ids = (await storeInFinishedSegments(directory, ["a@example.org", "b@example.org"], "x")).map(
    ({ meta }) => meta.id,
  );
  const moving = createFsSpool({ directory, minFreeBytes: 0, moveAfterMs: 0, moveShare: 1 });
  t.after(async () => {
    await moving.close();
    await rm(directory, { recursive: true });
  });
  assert.equal((await moving.collect()).messagesMoved, 2);
  const reconciler = reconcile({ spool: moving });
  await waitFor("the first scan", () => scans.length > 0);
  assert.partialDeepStrictEqual(scans[0], { messages: 2, deliveries: 2 });
  await producer.requestScan();
  await waitFor("another scan", () => scans.length > 1);
  assert.partialDeepStrictEqual(scans[1], { messages: 2, deliveries: 0 });
  await redis.flush();
  await waitFor("they are back", async () => (await count("LLEN {postern}:delivery:wait")) === 2);
  for (const id of ids) assert.equal(await count(`EXISTS {postern}:delivery:${id}-0`), 1);
  await reconciler.close();
});

test("mail is delivered once each although Redis is emptied while workers deliver", async () => {
  const messages = await Promise.all(Array.from({ length: 300 }, () => accept(spool, storedMessage({}))));
  await producer.addDeliveries(messages.map((message) => ({ message, routes: [routeNamed("mx")] })));
  reconcile({ timing: { ...timing, reclaimMs: 600 } });
  const delivered = new Map<string, number>();
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 20,
    timing: { lockMs: 5_000, stalledCheckMs: 1_000, epochCheckMs: 100, reclaimMs: 500 },
    async handle({ job }) {
      const states = await spool.states(job.id);
      if (states.has(0)) return { kind: "done" };
      await new Promise((resolve) => setTimeout(resolve, 20));
      delivered.set(job.id, (delivered.get(job.id) ?? 0) + 1);
      await spool.settle([{ id: job.id, recipients: [0], state: { kind: "delivered" } }]);
      return { kind: "done" };
    },
  });
  try {
    for (const share of [100, 200]) {
      await waitFor(`${share} are delivered`, () => delivered.size >= share);
      await redis.flush();
    }
    await waitFor("all are delivered", () => delivered.size === 300);
    assert.deepEqual(
      [...delivered.values()].filter((times) => times !== 1),
      [],
    );
  } finally {
    await consumer.close(1_000);
  }
});

test("a job that ended between the two looks of the reconciler is not added again", async () => {
  const message = await accept(spool, storedMessage({}));
  // The spool says pending when the scan reads it; the worker settles and ends its job before the fresh look.
  const states = spool.states.bind(spool);
  spool.states = async (id) => {
    await spool.settle([{ id: message.meta.id, recipients: [0], state: { kind: "delivered" } }]);
    return states(id);
  };
  reconcile();
  await waitFor("the scan", () => scans.length > 0);
  assert.equal(await count("LLEN {postern}:delivery:wait"), 0);
});

test("a job that its publisher adds after a scan did, and after that job ended, counts as a redelivery", async () => {
  const message = await accept(spool, storedMessage({}));
  reconcile();
  await waitFor("the scan", () => scans.length > 0);
  const tasks: (boolean | undefined)[] = [];
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 1,
    async handle({ mayHaveRun }) {
      tasks.push(mayHaveRun);
      return { kind: "done" };
    },
  });
  try {
    const ended = async () => (await count(`EXISTS {postern}:delivery:${message.meta.id}-0`)) === 0;
    await waitFor("the job of the scan ends", async () => tasks.length === 1 && (await ended()));
    await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
    await waitFor("the job of the publisher ends", async () => tasks.length === 2 && (await ended()));
    assert.deepEqual(tasks, [true, true]);
  } finally {
    await consumer.close(1_000);
  }
});

test("a failed recipient without its notification, and a dead one without its job, get them", async () => {
  const dead = (atMs: number): RecipientState => ({ kind: "dead", diagnosis: busy, atMs });
  const failed = await accept(spool, storedMessage({}), [[0, { kind: "failed", diagnosis: busy }]]);
  const died = await accept(spool, storedMessage({}), [[0, dead(Date.now())]]);
  const old = await accept(spool, storedMessage({}), [
    [0, dead(Date.now() - config.queue.dead_retention - 1_000)],
  ]);
  reconcile();
  await waitFor("the scan", () => scans.length > 0);
  assert.deepEqual(
    { ...scans[0], reason: "", tookMs: 0 },
    { messages: 3, deliveries: 0, bounces: 1, dead: 1, expired: 1, reason: "", tookMs: 0 },
  );
  assert.equal(await count(`EXISTS {postern}:bounce:${failed.meta.id}-failed`), 1);
  assert.equal(await count(`EXISTS {postern}:dead:${died.meta.id}-0`), 1);
  assert.equal(await count(`EXISTS {postern}:dead:${old.meta.id}-0`), 0);
  assert.deepEqual((await spool.states(old.meta.id)).get(0), { kind: "removed" });
});

test("a delay without a warning gets one, and a delay that the sender was warned of gets none", async () => {
  const delay = { diagnosis: busy, willRetryUntilMs: Date.now() + 3_600_000 };
  const late = await accept(spool, storedMessage({}), [[0, { kind: "pending", delay }]]);
  const warned = await accept(spool, storedMessage({}), [[0, { kind: "pending", warned: true }]]);
  reconcile();
  await waitFor("the scan", () => scans.length > 0);
  assert.equal(scans[0]?.bounces, 1);
  assert.equal(await count(`EXISTS {postern}:bounce:${late.meta.id}-delayed`), 1);
  assert.equal(await count(`EXISTS {postern}:bounce:${warned.meta.id}-delayed`), 0);
  assert.equal(await count("LLEN {postern}:delivery:wait"), 2);
});

test("of several reconcilers one leads; when it closes another takes over and scans", async () => {
  const first = reconcile();
  await waitFor("the first leads", () => first.leading && scans.length === 1);
  const second = reconcile();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(second.leading, false);
  await first.close();
  await waitFor("the second leads", () => second.leading && scans.length === 2);
});

test("a reconciler that was killed is replaced when its lease runs out", async () => {
  await redis.command("SET {postern}:keeper a-killed-process PX 600");
  const reconciler = reconcile();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(reconciler.leading, false);
  await waitFor("it took over", () => reconciler.leading && scans[0]?.reason === "this reconciler took over");
});

test("mail that was tried inline waits for its next attempt with its history, also after Redis was emptied", async () => {
  const untilMs = Date.now() + 600_000;
  const diagnosis = {
    status: "4.4.2" as const,
    class: "network" as const,
    reason: "lost the session after sending the whole message",
    atMs: Date.now(),
    possiblyDelivered: true,
  };
  const { meta } = storedMessage({ to: ["a@example.org", "b@example.org"] });
  meta.tried = { untilMs, last: [{ recipients: [1], diagnosis }] };
  const message = await accept(spool, { ...storedMessage({}), meta });
  const isScheduled = async () => {
    assert.equal(await count("LLEN {postern}:delivery:wait"), 1);
    const score = await redis.command(`ZSCORE {postern}:delivery:delayed ${meta.id}-1`);
    const dueMs = Math.floor(Number(score.trim().split("\r\n").at(-1)) / 4096);
    assert.ok(dueMs >= untilMs && dueMs < untilMs + 60_000, `${dueMs}, not ${untilMs}`);
    assert.match(
      await redis.command(`HGET {postern}:delivery:${meta.id}-1 data`),
      /"history":\{"attempts":1,.*"possiblyDelivered":true/,
    );
  };
  await producer.addDeliveries([{ message, routes: [routeNamed("mx"), routeNamed("mx")] }]);
  await isScheduled();
  reconcile();
  await waitFor("the first scan", () => scans.length === 1);
  await redis.flush();
  await waitFor("it is back", async () => (await count("ZCARD {postern}:delivery:delayed")) === 1);
  await isScheduled();
});

test("the time under a hold is not lost with Redis: the message does not expire for it", async (t) => {
  const sixDaysMs = 6 * 86_400_000;
  const receivedAtMs = Date.now() - sixDaysMs;
  const held = await accept(spool, storedMessage({ to: ["a@held.example"], receivedAtMs }));
  const other = await accept(spool, storedMessage({ to: ["a@example.org"], receivedAtMs }));
  const directory = await mkdtemp(join(tmpdir(), "postern-reconciler-"));
  const file = join(directory, "holds.json");
  const rule = { kind: "destination", value: "held.example", reason: "", createdAtMs: receivedAtMs } as const;
  await writeHoldsFile(file, { version: 1, rules: [rule] });
  const holds = createHolds({ redis: { url: redis.url }, file, log });
  t.after(async () => {
    await holds.close();
    await rm(directory, { recursive: true });
  });
  reconcile({ holds });
  await waitFor("the first scan", () => scans.length > 0);
  const heldMs = async (id: string): Promise<number | undefined> => {
    const data = await redis.command(`HGET {postern}:delivery:${id}-0 data`);
    return JSON.parse(/\{.*\}/.exec(data)?.[0] ?? "").heldMs;
  };
  assert.ok(((await heldMs(held.meta.id)) ?? 0) >= sixDaysMs);
  assert.equal(await heldMs(other.meta.id), undefined);
});

test("mail is found in the spool, and the spool is collected, when the clock is set back by an hour", async (t) => {
  let collected = 0;
  spool.collect = async () => ({ segmentsRemoved: collected++ < 3 ? 1 : 0, messagesMoved: 0, bytesFreed: 0 });
  reconcile({ timing: { ...timing, scanEveryMs: 200 } });
  await waitFor("the first scan", () => scans.length === 1);
  const { now } = Date;
  t.mock.method(Date, "now", () => now() - 3_600_000);
  const before = collected;
  const message = await accept(spool, storedMessage({}));
  const key = `{postern}:delivery:${message.meta.id}-0`;
  await waitFor("it is enqueued", async () => (await count(`EXISTS ${key}`)) === 1);
  await redis.flush();
  await waitFor("it is enqueued again", async () => (await count(`EXISTS ${key}`)) === 1);
  await waitFor("the spool is collected", () => collected > before);
});

test("a crash of Redis that loses what was written last is noticed", async () => {
  reconcile();
  await waitFor("the first scan", () => scans.length === 1);
  const message = await accept(spool, storedMessage({}));
  await redis.kill();
  await redis.restart();
  await waitFor(
    "it is enqueued",
    async () => (await count(`EXISTS {postern}:delivery:${message.meta.id}-0`)) === 1,
  );
});

test("a rolled back Redis is noticed by the heartbeat alone, and a publisher's request is heard", async () => {
  reconcile();
  await waitFor("the first scan", () => scans.length === 1);
  await redis.command("SET {postern}:keeper:heartbeat an-older-one");
  await waitFor("a second scan", () => scans[1]?.reason === "Redis forgot something");
  await producer.requestScan();
  await waitFor("a third scan", () => scans[2]?.reason === "a publisher asked for it");
});

test("a job that failed for BullMQ waits again", async () => {
  const message = await accept(spool, storedMessage({}));
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  await redis.command("DEL {postern}:delivery:wait");
  await redis.command(`ZADD {postern}:delivery:failed 1 ${message.meta.id}-0`);
  reconcile();
  await waitFor("it waits", async () => (await count("LLEN {postern}:delivery:wait")) === 1);
  assert.equal(await count("ZCARD {postern}:delivery:failed"), 0);
});

test("the spool is collected regularly by the leading reconciler", async () => {
  let collected = 0;
  spool.collect = async () => ({ segmentsRemoved: collected++ < 3 ? 1 : 0, messagesMoved: 0, bytesFreed: 0 });
  reconcile();
  await waitFor("several times", () => collected > 4);
});
