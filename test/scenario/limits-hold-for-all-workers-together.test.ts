import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ClusterLimiter,
  type ClusterLimiterOptions,
  createClusterLimiter,
} from "../../shared/limits/cluster-limiter.ts";

import { growEveryMs } from "../../shared/limits/learnt-limit.ts";
import type { Slot, SlotAnswer } from "../../shared/limits/limiter.ts";
import { JobChanges } from "../../shared/queue/operator/changes.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";
import { onlyShards } from "../support/only-shard.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { waitFor } from "../support/wait-for.ts";

const log = createLogger("test", { write() {} });
const request = { destination: "example.org", connections: 3, reachabilityKey: "mx example.org" };
const refused: Diagnosis = { status: "4.4.1", class: "connect", reason: "connection refused", atMs: 1 };

/** Workers that share a Redis, as those of several machines do. */
async function workers(
  t: { after(end: () => Promise<void>): void },
  count: number,
  options: Partial<ClusterLimiterOptions> = {},
): Promise<{ redis: TestRedis; workers: ClusterLimiter[] }> {
  const redis = await startRedis();
  const all = Array.from({ length: count }, () =>
    createClusterLimiter({ redis: { url: redis.url }, log, redisAnswerMs: 30_000, ...options }),
  );
  t.after(async () => {
    await Promise.all(all.map((worker) => worker.close()));
    await redis.close();
  });
  return { redis, workers: all };
}

function slotOf(taken: SlotAnswer): Slot {
  assert.equal(taken.kind, "slot");
  return (taken as Extract<SlotAnswer, { kind: "slot" }>).slot;
}

test("two workers together open no more connections than the destination bears", async (t) => {
  const { workers: all } = await workers(t, 2);
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const taken = await Promise.all([a, b, a, b, a, b].map((worker) => worker.takeSlot(request)));
  const given = taken.filter(({ kind }) => kind === "slot");
  assert.equal(given.length, 3);
  assert.equal((await a.takeSlot({ ...request, destination: "other.example" })).kind, "slot");
  slotOf(given[0] as SlotAnswer).release();
  await waitFor("the other worker gets what was released", async () => {
    const again = await Promise.all([a.takeSlot(request), b.takeSlot(request)]);
    return again.some(({ kind }) => kind === "slot");
  });
});

test("a worker with more than its share of the connections makes room as soon as another wants some", async (t) => {
  const { workers: all } = await workers(t, 2);
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const slots: Slot[] = [];
  for (let i = 0; i < 3; i++) slots.push(slotOf(await a.takeSlot(request)));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(!a.exceedsShare(request.destination), "alone it may have all");
  await waitFor("it hears of the other's request", async () => {
    assert.equal((await b.takeSlot(request)).kind, "full");
    return a.exceedsShare(request.destination);
  });
  slots.pop()?.release();
  assert.ok(!a.exceedsShare(request.destination), "two of three are its share");
  await waitFor("the other gets it", async () => (await b.takeSlot(request)).kind === "slot");
});

test("no worker gets more than a fair share while others have or want some, and gives back what it has above it", async (t) => {
  const { workers: all } = await workers(t, 2);
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const four = { ...request, connections: 4 };
  const slots: Slot[] = [];
  for (let i = 0; i < 4; i++) slots.push(slotOf(await a.takeSlot(four)));
  a.reportAnswer(four.destination, four.reachabilityKey, 10);
  await waitFor("it hears of the other's request", async () => {
    assert.equal((await b.takeSlot(four)).kind, "full");
    return a.exceedsShare(four.destination);
  });
  slots.pop()?.release();
  assert.equal((await a.takeSlot(four)).kind, "full", "what was released is for the other worker");
  await waitFor("the other gets it", async () => (await b.takeSlot(four)).kind === "slot");
  slots.pop()?.release();
  slots.pop()?.release();
  await waitFor("Redis knows", async () => (await b.takeSlot(four)).kind === "slot");
  assert.equal((await b.takeSlot(four)).kind, "full", "two of four are its share, though one is free");
  slotOf(await a.takeSlot(four));
});

test("slow mail gets no connection beyond its share, and makes no worker give one back for it", async (t) => {
  const { workers: all } = await workers(t, 2);
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const four = { ...request, connections: 4 };
  const slow = { ...four, share: 3 };
  const slots: Slot[] = [];
  for (let i = 0; i < 3; i++) slots.push(slotOf(await a.takeSlot(slow)));
  assert.equal((await a.takeSlot(slow)).kind, "full");
  slots.push(slotOf(await a.takeSlot(four)));
  assert.equal((await a.takeSlot(slow)).kind, "full");
  assert.ok(!a.exceedsShare(four.destination), "all four are its own to have");
  // Two workers: each may have two of four, though slow mail asks with a share of three.
  await waitFor("it hears of the other's request", async () => {
    assert.equal((await b.takeSlot(slow)).kind, "full");
    return a.exceedsShare(four.destination);
  });
  for (let i = 0; i < 2; i++) slots.pop()?.release();
  assert.equal((await a.takeSlot(slow)).kind, "full", "it has its share");
  assert.ok(!a.exceedsShare(four.destination));
  await waitFor("the other gets one", async () => (await b.takeSlot(slow)).kind === "slot");
  await waitFor("and one more, for fresh mail only", async () => (await b.takeSlot(four)).kind === "slot");
  assert.equal((await b.takeSlot(slow)).kind, "full");
});

test("what a server bears is learnt by all workers from the refusals of one, kept while Redis is away, and forgotten in time", async (t) => {
  const { redis, workers: all } = await workers(t, 2);
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const ten = { destination: "192.0.2.9", connections: 10 };
  const slots = [slotOf(await a.takeSlot(ten)), slotOf(await a.takeSlot(ten)), slotOf(await b.takeSlot(ten))];
  assert.equal(await b.reportFull(ten.destination, 10), true, "it refused the third");
  slots[2]?.release();
  await waitFor("Redis to know of the release", async () =>
    (await redis.command("HLEN {postern}:slots:192.0.2.9")).startsWith(":1"),
  );
  assert.equal((await a.takeSlot(ten)).kind, "full");
  assert.equal((await b.takeSlot(ten)).kind, "full", "two are what it bears, and the other worker has them");
  const keptForMs = Number((await redis.command("PTTL {postern}:bears:192.0.2.9")).slice(1));
  assert.ok(keptForMs > 0 && keptForMs <= 8 * growEveryMs, `${keptForMs}`);
  await redis.close();
  await waitFor(
    "Redis to be away",
    async () => (await a.takeSlot({ ...ten, destination: "other" })).kind === "slot",
  );
  assert.equal(await a.reportFull(ten.destination, 10), true);
  assert.equal((await a.takeSlot(ten)).kind, "full", "it has two, and the server bears one");
});

test("a refusal by a server that nobody has another connection to changes nothing", async (t) => {
  const { workers: all } = await workers(t, 1);
  const [worker] = all as [ClusterLimiter];
  const ten = { destination: "192.0.2.9", connections: 10 };
  slotOf(await worker.takeSlot(ten));
  assert.equal(await worker.reportFull(ten.destination, 10), false);
  slotOf(await worker.takeSlot(ten));
});

test("a burst goes at once and the rest evenly, for all workers together and while Redis is away", async (t) => {
  const { redis, workers: all } = await workers(t, 2);
  const rate = { count: 60, periodMs: 3_600_000, burst: 3 };
  const waits: number[] = [];
  for (let i = 0; i < 2; i++) for (const worker of all) waits.push(await worker.admitMessage("a", rate));
  assert.deepEqual(waits.slice(0, 3), [0, 0, 0]);
  assert.ok((waits[3] ?? 0) > 50_000 && (waits[3] ?? 0) <= 60_000, `${waits[3]} ms`);
  await redis.stop();
  const [worker] = all as [ClusterLimiter];
  await waitFor("Redis to be away", async () => (await worker.takeSlot(request)).kind === "slot");
  const alone = [];
  for (let i = 0; i < 4; i++) alone.push(await worker.admitMessage("b", rate));
  assert.deepEqual(alone.slice(0, 3), [0, 0, 0]);
  // Time goes on between the four.
  assert.ok((alone[3] ?? 0) > 50_000 && (alone[3] ?? 0) <= 60_000, `${alone[3]} ms`);
});

test("a worker's clock that is set back by an hour changes neither connections nor rates", async (t) => {
  const leaseMs = 600;
  const { workers: all } = await workers(t, 2, { leaseMs });
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const rate = { count: 60, periodMs: 60_000 };
  for (let i = 0; i < 3; i++) slotOf(await a.takeSlot(request));
  for (let i = 0; i < 60; i++) await a.admitMessage("rated", rate);
  assert.ok((await a.admitMessage("rated", rate)) > 0, "the rate is used up");
  const real = Date.now.bind(Date);
  t.mock.method(Date, "now", () => real() - 3_600_000);
  const waitMs = await a.admitMessage("rated", rate);
  assert.ok(waitMs <= 1000, `${waitMs} ms to wait`);
  await new Promise((resolve) => setTimeout(resolve, 2 * leaseMs));
  assert.equal((await b.takeSlot(request)).kind, "full", "the leases were renewed in time");
});

test("what Redis stored before its clock was set back by an hour holds no longer than what is new", async (t) => {
  const leaseMs = 600;
  const { redis, workers: all } = await workers(t, 1, {
    leaseMs,
    deadDestinations: { firstMs: 60_000, maxMs: 60_000 },
  });
  const [worker] = all as [ClusterLimiter];
  const later = Date.now() + 3_600_000;
  const diagnosis = JSON.stringify({ ...refused, reason: "refused" });
  for (const command of [
    `SET {postern}:rate:rated ${later}`,
    `HSET {postern}:slots:example.org killed "3 ${later} 0 0"`,
    `HSET {postern}:silence:mx-dead until ${later} marked ${later} interval 60000 diagnosis '${diagnosis}'`,
  ])
    await redis.command(command);
  const waitMs = await worker.admitMessage("rated", { count: 60, periodMs: 60_000 });
  assert.ok(waitMs > 0 && waitMs <= 1001, `${waitMs} ms to wait`);
  await waitFor(
    "the lease of a worker that died then to run out",
    async () => (await worker.takeSlot(request)).kind === "slot",
  );
  const probe = await worker.takeSlot({ destination: "dead", connections: 3, reachabilityKey: "mx-dead" });
  assert.equal(probe.kind, "slot", "a dead destination is tried");
});

test("a worker that died keeps no connection; one that lives keeps its connections for as long as it needs them", async (t) => {
  const leaseMs = 600;
  const { redis, workers: all } = await workers(t, 1, { leaseMs });
  const [living] = all as [ClusterLimiter];
  slotOf(await living.takeSlot(request));
  // Its field stays in Redis as that of a process that was killed does: it is not renewed.
  await redis.command(`HSET {postern}:slots:example.org killed "2 ${Date.now() + leaseMs} 0 0"`);
  const newcomer = createClusterLimiter({ redis: { url: redis.url }, log, redisAnswerMs: 30_000, leaseMs });
  t.after(() => newcomer.close());
  assert.equal((await newcomer.takeSlot(request)).kind, "full");
  const slots: Slot[] = [];
  await waitFor("the lease of the dead runs out", async () => {
    const taken = await newcomer.takeSlot(request);
    if (taken.kind === "slot") slots.push(taken.slot);
    return slots.length === 2;
  });
  await new Promise((resolve) => setTimeout(resolve, 2 * leaseMs));
  assert.equal((await newcomer.takeSlot(request)).kind, "full", "the living one still has its connection");
});

test("a rate is one for all workers, and costs no question for each message", async (t) => {
  const { redis, workers: all } = await workers(t, 2);
  const rate = { count: 1000, periodMs: 3_600_000 };
  const fast = { count: 1000, periodMs: 1000 };
  let admitted = 0;
  while (admitted < 1500) {
    const waits = await Promise.all(all.map((worker) => worker.admitMessage("slow", rate)));
    const gone = waits.filter((waitMs) => waitMs === 0).length;
    if (gone === 0) break;
    admitted += gone;
  }
  assert.equal(admitted, 1000);
  const before = await calls(redis);
  for (let i = 0; i < 500; i++) await all[0]?.admitMessage("fast", fast);
  assert.ok((await calls(redis)) - before <= 5, "500 messages, a handful of questions");
});

test("messages of a rate that a worker has reserved and not sent are given back", async (t) => {
  const { workers: all } = await workers(t, 2);
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const rate = { count: 8, periodMs: 1_200 };
  assert.equal(await a.admitMessage("x", rate), 0);
  a.refundMessage("x", rate);
  await a.close();
  for (let i = 0; i < 7; i++) assert.equal(await b.admitMessage("x", rate), 0);
});

test("one worker finds out that a destination is dead, and the others rely on it, until the first answer", async (t) => {
  const { workers: all } = await workers(t, 3, { deadDestinations: { firstMs: 400, maxMs: 800 } });
  const [a, b, c] = all as [ClusterLimiter, ClusterLimiter, ClusterLimiter];
  const first = slotOf(await a.takeSlot(request));
  a.reportNoAnswer(request.destination, request.reachabilityKey, refused, Date.now());
  first.release();
  await waitFor("the others hear of it", async () => {
    const taken = await b.takeSlot(request);
    if (taken.kind === "slot") taken.slot.release();
    return taken.kind === "dead" && taken.diagnosis.reason === refused.reason;
  });
  let probes: SlotAnswer[] = [];
  await waitFor("its time is over", async () => {
    probes = (await Promise.all([a, b, c].map((worker) => worker.takeSlot(request)))).filter(
      ({ kind }) => kind === "slot",
    );
    return probes.length > 0;
  });
  assert.equal(probes.length, 1, "one of them asks");
  assert.equal(
    (await c.takeSlot({ ...request, ignoreDeadCache: true })).kind,
    "slot",
    "a last attempt is a real one",
  );
  for (const worker of all) worker.reportAnswer(request.destination, request.reachabilityKey, 10);
  await waitFor("all may ask again", async () => {
    const kinds = await Promise.all([a, b, c].map(async (worker) => (await worker.takeSlot(request)).kind));
    return !kinds.includes("dead");
  });
});

test("an operator's retry is a real attempt, even to a destination that is remembered as dead", async (t) => {
  const { redis, workers: all } = await workers(t, 1, {
    deadDestinations: { firstMs: 60_000, maxMs: 60_000 },
  });
  const [a] = all as [ClusterLimiter];
  slotOf(await a.takeSlot(request)).release();
  a.reportNoAnswer(request.destination, request.reachabilityKey, refused, Date.now());
  await waitFor("it is remembered", async () => (await a.takeSlot(request)).kind === "dead");
  const connection = createRedis({ url: redis.url }, "plain", log);
  const nothing = { find: async () => ({ jobs: [], unknown: [] }) };
  await new JobChanges({ global: connection, ofId: onlyShards(connection).of }, {} as never, nothing as never)
    .retry({ all: true } as never)
    .catch(() => undefined);
  connection.disconnect();
  assert.equal((await a.takeSlot(request)).kind, "slot");
});

test("while Redis is away each worker keeps the limits for itself, and no mail waits for Redis", async (t) => {
  const { redis, workers: all } = await workers(t, 2, {
    deadDestinations: { firstMs: 60_000, maxMs: 60_000 },
  });
  const [a, b] = all as [ClusterLimiter, ClusterLimiter];
  const held = slotOf(await a.takeSlot(request));
  await redis.stop();
  const kinds = async (worker: ClusterLimiter) =>
    (await Promise.all([1, 2, 3, 4].map(() => worker.takeSlot(request)))).map(({ kind }) => kind);
  assert.deepEqual(await kinds(b), ["slot", "slot", "slot", "full"]);
  assert.deepEqual(await kinds(a), ["slot", "slot", "full", "full"]);
  a.reportNoAnswer(request.destination, "mx dead.example", refused, Date.now());
  const dead = { destination: "dead.example", connections: 3, reachabilityKey: "mx dead.example" };
  assert.equal((await a.takeSlot(dead)).kind, "dead");
  assert.equal(await a.admitMessage("x", { count: 1, periodMs: 60_000 }), 0);
  assert.ok(((await a.admitMessage("x", { count: 1, periodMs: 60_000 })) as number) > 0);
  assert.ok((await a.takeRetrySlot("line", { eachMs: 10, earliestMs: 100, horizonMs: 1000 })) > Date.now());
  await redis.restart();
  held.release();
  await waitFor("Redis knows again what they hold", async () =>
    /2 \d+[\s\S]*3 \d+|3 \d+[\s\S]*2 \d+/.test(await redis.command("HVALS {postern}:slots:example.org")),
  );
  assert.equal((await b.takeSlot(request)).kind, "full");
});

test("jobs of a full destination come back one after another, whichever worker they had come to", async (t) => {
  const { workers: all } = await workers(t, 2);
  const request = { eachMs: 50, earliestMs: 500, horizonMs: 10_000 };
  const startMs = Date.now();
  const retrySlots = await Promise.all(
    Array.from({ length: 40 }, (_, i) => all[i % 2]?.takeRetrySlot("line", request) ?? 0),
  );
  const sorted = [...retrySlots].sort((x, y) => x - y);
  assert.ok((sorted[0] ?? 0) >= startMs + 500);
  assert.ok((sorted[39] ?? 0) >= startMs + 500 + 39 * 50, "forty slots of 50 ms");
});

test("what an earlier version left in Redis is still understood", async (t) => {
  const { redis, workers: all } = await workers(t, 1);
  const [a] = all as [ClusterLimiter];
  const nowMs = Date.now();
  const until = nowMs + 60_000;
  await redis.command(`HSET {postern}:slots:example.org other "3 ${until} 0 250"`);
  assert.deepEqual(await a.takeSlot(request), { kind: "full", busyMs: 250 });
  const diagnosis = JSON.stringify(refused);
  await redis.command(
    `HSET "{postern}:silence:mx dead.example" until ${until} marked ${nowMs} interval 60000 diagnosis '${diagnosis}'`,
  );
  const dead = { destination: "dead.example", connections: 3, reachabilityKey: "mx dead.example" };
  assert.deepEqual(await a.takeSlot(dead), { kind: "dead", diagnosis: refused });
  await redis.command(`SET {postern}:silence ${nowMs + 1}`);
  assert.equal((await a.takeSlot(dead)).kind, "slot", "an operator's retry");
  await redis.command(`SET {postern}:turn:line ${nowMs + 30_000}.500`);
  const slotMs = await a.takeRetrySlot("line", { eachMs: 50, earliestMs: 500, horizonMs: 60_000 });
  assert.ok(Math.abs(slotMs - nowMs - 30_050) < 1000);
  await redis.command(`SET {postern}:rate:x ${nowMs + 60_000}.000`);
  assert.ok(((await a.admitMessage("x", { count: 1, periodMs: 60_000 })) as number) > 50_000);
});

async function calls(redis: TestRedis): Promise<number> {
  return [...(await redis.command("INFO commandstats")).matchAll(/cmdstat_evalsha?:calls=(\d+)/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

test("a refusal of one connection too many is logged with the server's name, and counted", async (t) => {
  const redis = await startRedis();
  const lines: Record<string, unknown>[] = [];
  const metrics = createMetrics("test");
  const worker = createClusterLimiter({
    redis: { url: redis.url },
    log: createLogger("test", { write: (line) => lines.push(JSON.parse(line)) }),
    metrics,
  });
  t.after(async () => {
    await worker.close();
    await redis.close();
  });
  const ten = { destination: "192.0.2.9", connections: 10 };
  slotOf(await worker.takeSlot(ten));
  await worker.reportFull(ten.destination, 10);
  assert.deepEqual(lines, [], "its only connection was refused for another reason");
  slotOf(await worker.takeSlot(ten));
  await worker.reportFull(ten.destination, 10);
  assert.deepEqual(
    lines.map(({ destination, limit }) => [destination, limit]),
    [["192.0.2.9", 10]],
  );
  assert.match(await metrics.text(), /^postern_destination_limits_learnt_total\{.*\} 1$/m);
});
