import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type Queue, Worker } from "bullmq";
import { type BoardQueues, openBoardQueues } from "../../shared/queue/bullmq/board.ts";
import { heldDueMs } from "../../shared/queue/bullmq/due-times.ts";
import { holdJobs, requeueFailed } from "../../shared/queue/bullmq/jobs.ts";
import { consumeBounces, consumeDeliveries } from "../../shared/queue/consumer.ts";
import type { QueueName } from "../../shared/queue/contract/contract.ts";
import type { QueueProducer } from "../../shared/queue/producer.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis, type RedisConnection } from "../../shared/runtime/redis.ts";
import { connectedProducer } from "../support/connected-producer.ts";
import { onlyShard } from "../support/only-shard.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { storedMessage } from "../unit/queue/stored-message.ts";

const log = createLogger("test", { write() {} });
let redis: TestRedis;
let producer: QueueProducer;
let plain: RedisConnection;
let board: BoardQueues;
const toClose: (() => Promise<unknown>)[] = [];

before(async () => {
  redis = await startRedis();
  producer = await connectedProducer(redis, log);
  plain = createRedis({ url: redis.url }, "plain", log);
  board = openBoardQueues({ url: redis.url }, log);
});
afterEach(async () => {
  await Promise.all(toClose.splice(0).map((close) => close()));
  await redis.flush();
});
after(async () => {
  await board?.close();
  plain?.disconnect();
  await producer?.close();
  await redis?.close();
});

/** The queue as BullMQ's own object. */
function queue(name: QueueName): Queue {
  const found = board.queues.find((each) => each.name === name);
  assert.ok(found);
  return found;
}

/** @returns the id of the job of a new message */
async function enqueue(): Promise<string> {
  const message = storedMessage({});
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  return `${message.meta.id}-0`;
}

/** Our worker; it ends what it takes, after `until` if given. @returns the ids of the jobs that it took */
function deliverAll(until?: Promise<void>): string[] {
  const taken: string[] = [];
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 2,
    timing: { lockMs: 5_000, stalledCheckMs: 200, epochCheckMs: 100, reclaimMs: 500 },
    async handle({ jobId }) {
      taken.push(jobId);
      await until;
      return { kind: "done" };
    },
  });
  toClose.push(() => consumer.close(1_000));
  return taken;
}

/** As deliverAll(), once it has taken a job; `finish` ends the work on it. */
async function takeJob(): Promise<{ taken: string[]; finish: () => void }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const taken = deliverAll(promise);
  await waitFor("a job is taken", () => taken.length === 1);
  return { taken, finish: resolve };
}

async function keysOf(jobId: string): Promise<string[]> {
  return (await plain.keys("*")).filter((key) => key.includes(jobId));
}

test("the version of BullMQ that is installed and pinned is the one that decision 0006 describes", () => {
  const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
  const installed = JSON.parse(read("node_modules/bullmq/package.json")).version;
  assert.equal(JSON.parse(read("package.json")).dependencies.bullmq, installed);
  assert.match(
    read("docs/decisions/0006-bullmq-inside.md"),
    new RegExp(`BullMQ ${installed.replaceAll(".", "\\.")}\\b`),
  );
});

test("a held job is to BullMQ a delayed one with a due time in 2039: its workers leave it alone", async () => {
  const nowMs = Date.now();
  const held = await enqueue();
  assert.equal(await holdJobs(onlyShard(plain), "delivery", [held], nowMs), 1);
  await queue("delivery").add("mail", {}, { jobId: "theirs", delay: heldDueMs(nowMs) - Date.now() });
  const ours = Number(await plain.zscore("{postern}:delivery:delayed", held));
  const theirs = Number(await plain.zscore("{postern}:delivery:delayed", "theirs"));
  assert.ok(Math.abs(ours - theirs) / 4096 < 10_000, `${ours} and ${theirs}`);
  assert.equal(await (await queue("delivery").getJob(held))?.getState(), "delayed");
  const taken = deliverAll();
  const free = await enqueue();
  await waitFor("the free one is done", async () => (await keysOf(free)).length === 0);
  assert.deepEqual(taken, [free]);
});

test("BullMQ keeps a field of a job's hash that it does not know, and removes it with the job", async () => {
  const jobId = await enqueue();
  await plain.hset(`{postern}:delivery:${jobId}`, "more", "1");
  const { finish } = await takeJob();
  assert.equal(await plain.hget(`{postern}:delivery:${jobId}`, "more"), "1");
  finish();
  await waitFor("it is done", async () => (await keysOf(jobId)).length === 0);
});

test("a job that our scripts end leaves nothing behind: no lock, no entry in a list or a set", async () => {
  const { meta, locator } = storedMessage({});
  const jobId = `${meta.id}-failed`;
  let tries = 0;
  const consumer = consumeBounces({
    redis: { url: redis.url },
    log,
    concurrency: 2,
    aggregationWindowMs: 10,
    timing: { lockMs: 5_000, stalledCheckMs: 50, epochCheckMs: 100, reclaimMs: 500 },
    async handle() {
      // Long enough that BullMQ's look for stalled jobs marks this one.
      await waitFor(
        "it is marked",
        async () => (await plain.sismember("{postern}:bounce:stalled", jobId)) === 1,
      );
      return ++tries < 2 ? { kind: "postponed", atMs: Date.now() } : { kind: "done" };
    },
  });
  toClose.push(() => consumer.close(1_000));
  await producer.addBounce({ version: 1, kind: "failed", id: meta.id, locator }, 0);
  await waitFor("it has ended", async () => tries === 2 && (await keysOf(jobId)).length === 0);
  assert.deepEqual(await plain.lrange("{postern}:bounce:active", 0, -1), []);
  assert.deepEqual(await plain.smembers("{postern}:bounce:stalled"), []);
  assert.equal(await plain.zcard("{postern}:bounce:delayed"), 0);
});

test("a lock is a string with its worker's token that expires by itself", async () => {
  const jobId = await enqueue();
  const { finish } = await takeJob();
  const key = `{postern}:delivery:${jobId}:lock`;
  assert.match((await plain.get(key)) ?? "", /^[0-9a-f-]{36}/);
  const ttl = await plain.pttl(key);
  assert.ok(ttl > 0 && ttl <= 5_000, `${ttl}`);
  finish();
});

test("a job that BullMQ itself failed waits again as if nothing had happened", async () => {
  const jobId = await enqueue();
  const connection = createRedis({ url: redis.url }, "worker", log);
  const failing = new Worker(
    "delivery",
    async (job) => {
      job.opts.attempts = 1;
      throw new Error("an older release, or a defect");
    },
    { connection, prefix: "{postern}" },
  );
  await waitFor("it failed", async () => (await queue("delivery").getFailedCount()) === 1);
  await failing.close();
  connection.disconnect();
  assert.equal(await requeueFailed(onlyShard(plain), "delivery"), 1);
  const job = await queue("delivery").getJob(jobId);
  assert.deepEqual([await job?.getState(), job?.failedReason], ["waiting", undefined]);
  assert.deepEqual(job?.stacktrace, []);
  const taken = deliverAll();
  await waitFor("it is done", async () => (await keysOf(jobId)).length === 0);
  assert.deepEqual(taken, [jobId]);
});

test("while a dashboard has paused a queue our adds wake no worker, and its mail is delivered afterwards", async () => {
  await queue("delivery").pause();
  const taken = deliverAll();
  const jobId = await enqueue();
  assert.equal(await plain.zscore("{postern}:delivery:marker", "0"), null);
  assert.equal(await plain.llen("{postern}:delivery:wait"), 1);
  assert.deepEqual(taken, []);
  await queue("delivery").resume();
  await waitFor("it is done", async () => (await keysOf(jobId)).length === 0);
});

test("a job that a worker restored after Redis was emptied is an active job to BullMQ", async () => {
  const jobId = await enqueue();
  const { taken, finish } = await takeJob();
  const { processedOn, ...before } = await plain.hgetall(`{postern}:delivery:${jobId}`);
  await redis.flush();
  await waitFor("it is restored", async () => (await plain.llen("{postern}:delivery:active")) === 1);
  const { timestamp, ...restored } = await plain.hgetall(`{postern}:delivery:${jobId}`);
  assert.deepEqual({ ...restored, timestamp: before.timestamp }, before);
  assert.ok(Number(timestamp) >= Number(processedOn));
  assert.equal(await (await queue("delivery").getJob(jobId))?.getState(), "active");
  finish();
  await waitFor("it is done", async () => (await keysOf(jobId)).length === 0);
  assert.equal(taken.length, 1);
});

test("the dashboard's queues read, and write nothing", async () => {
  const other = openBoardQueues({ url: redis.url }, log);
  toClose.push(() => other.close());
  for (const each of other.queues) await each.getJobCounts();
  assert.deepEqual(await plain.keys("*"), []);
});

test("the step that ends a job takes the next one, also where many jobs end at different times", async () => {
  const [jobs, atOnce] = [1000, 50];
  const messages = Array.from({ length: jobs }, () => storedMessage({}));
  await producer.addDeliveries(messages.map((message) => ({ message, routes: [routeNamed("mx")] })));
  await plain.config("RESETSTAT");
  let started = 0;
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: atOnce,
    async handle() {
      await pause(started++ % 6);
      return { kind: "done" };
    },
  });
  toClose.push(() => consumer.close(1_000));
  await waitFor("all are done", async () => (await plain.keys("{postern}:delivery:*-0")).length === 0);
  const scripts = Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(await plain.info("commandstats"))?.[1]);
  assert.ok(scripts >= jobs && scripts < jobs + 2 * atOnce, `${scripts} scripts for ${jobs} jobs`);
});
