import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Queue } from "bullmq";
import { openBoardQueues } from "../../shared/queue/bullmq/board.ts";
import { delayedScoreFactor } from "../../shared/queue/bullmq/due-times.ts";
import { removeJobs } from "../../shared/queue/bullmq/jobs.ts";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import { makeDeliveryJob } from "../../shared/queue/contract/delivery-job.ts";
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
let board: ReturnType<typeof openBoardQueues>;

before(async () => {
  redis = await startRedis();
  producer = await connectedProducer(redis, log);
  plain = createRedis({ url: redis.url }, "plain", log);
  board = openBoardQueues({ url: redis.url }, log);
});
after(async () => {
  await board?.close();
  plain?.disconnect();
  await producer?.close();
  await redis?.close();
});

function queue(name: string): Queue {
  const found = board.queues.find((each) => each.name === name);
  assert.ok(found);
  return found;
}

test("a job that we add is the job that BullMQ's add would have made, priority left out", async () => {
  const message = storedMessage({});
  const theirs = await queue("delivery").add("mail", makeDeliveryJob(message, 0, routeNamed("mx"), false), {
    jobId: "theirs",
    attempts: 1_000_000_000,
  });
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  const {
    opts: theirOpts,
    timestamp: theirTime,
    ...expected
  } = await plain.hgetall(`{postern}:delivery:${theirs.id}`);
  const { opts, timestamp, ...ours } = await plain.hgetall(`{postern}:delivery:${message.meta.id}-0`);
  assert.deepEqual({ ...ours, priority: "0" }, { ...expected });
  assert.equal(JSON.parse(opts ?? "").attempts, JSON.parse(theirOpts ?? "").attempts);
  assert.ok(Math.abs(Number(timestamp) - Number(theirTime)) < 10_000);
  assert.deepEqual(await plain.lrange("{postern}:delivery:wait", 0, -1), [`${message.meta.id}-0`, "theirs"]);
  const job = await queue("delivery").getJob(`${message.meta.id}-0`);
  assert.equal(await job?.getState(), "waiting");
  assert.equal(job?.data.to[0], "joe@example.org");
  await queue("delivery").drain();
});

test("a delayed job of ours has the due time that BullMQ would give it, and wakes its workers", async () => {
  const { meta, locator } = storedMessage({});
  await queue("bounce").add("mail", {}, { jobId: "theirs", delay: 60_000 });
  const marker = await plain.zscore("{postern}:bounce:marker", "1");
  await plain.del("{postern}:bounce:marker");
  await producer.addBounce({ version: 1, kind: "failed", id: meta.id, locator }, 60_000);
  const theirs = Number(await plain.zscore("{postern}:bounce:delayed", "theirs")) / delayedScoreFactor;
  const ours =
    Number(await plain.zscore("{postern}:bounce:delayed", `${meta.id}-failed`)) / delayedScoreFactor;
  assert.ok(Math.abs(ours - theirs) < 5_000, `${ours} and ${theirs}`);
  assert.equal(await plain.zscore("{postern}:bounce:marker", "1"), marker);
});

test("a job that we deferred into the other queue is a delayed job there to BullMQ, and leaves nothing behind", async () => {
  const message = storedMessage({});
  const jobId = `${message.meta.id}-0`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  const atMs = Date.now() + 3_600_000;
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 2,
    async handle() {
      return {
        kind: "later",
        atMs,
        queue: "delivery-slow",
        history: { attempts: 3, last: [] },
        route: routeNamed("mx b"),
      };
    },
  });
  try {
    const slow = queue("delivery-slow");
    const job = await waitFor("it is there", () => slow.getJob(jobId));
    assert.equal(await job.getState(), "delayed");
    assert.equal(job.data.history.attempts, 3);
    assert.deepEqual(
      (await slow.getDelayed()).map(({ id }) => id),
      [jobId],
    );
    const left = (await redis.command(`KEYS {postern}:delivery:*${message.meta.id}*`)).trim();
    assert.equal(left, "*0");
    assert.equal(await plain.llen("{postern}:delivery:active"), 0);
    assert.equal(
      Math.floor(Number(await plain.zscore("{postern}:delivery-slow:delayed", jobId)) / 4096),
      atMs,
    );
    assert.equal(await removeJobs(onlyShard(plain), "delivery-slow", [jobId]), 1);
    assert.equal(await slow.getJob(jobId), undefined);
  } finally {
    await consumer.close(1_000);
  }
});

test("a deferred job with its whole history takes at most 1.5 KB of Redis, 1.2 KB with larger listpacks", async () => {
  const diagnosis = {
    status: "4.2.1" as const,
    class: "4xx" as const,
    reason: "mx1.example.org [192.0.2.1] said: 451 4.2.1 Mailbox busy, try again later",
    reply: {
      code: 451,
      enhanced: "4.2.1" as const,
      lines: ["Mailbox busy, try again later"],
      command: "RCPT" as const,
    },
    remote: { host: "mx1.example.org", address: "192.0.2.1", port: 25 },
    atMs: 1_700_000_000_000,
  };
  const measure = async (): Promise<number> => {
    await redis.flush();
    const used = async (): Promise<number> =>
      Number(/used_memory_dataset:(\d+)/.exec(await redis.command("INFO memory"))?.[1]);
    const before = await used();
    const jobs = 4_000;
    const messages = Array.from({ length: jobs }, () => storedMessage({}));
    await producer.addDeliveries(
      messages.map((message) => ({ message, routes: [routeNamed("relay mx example.org")] })),
    );
    const consumer = consumeDeliveries({
      redis: { url: redis.url },
      log,
      concurrency: 100,
      async handle() {
        const history = { attempts: 1, lastAttemptAtMs: Date.now(), last: [{ recipients: [0], diagnosis }] };
        const atMs = Date.now() + 3_600_000;
        return { kind: "later", atMs, queue: "delivery", history, route: routeNamed("relay mx example.org") };
      },
    });
    await waitFor("all are deferred", async () => (await plain.zcard("{postern}:delivery:delayed")) === jobs);
    await consumer.close(1_000);
    // BullMQ's event streams are bounded, so they are no part of what a job takes.
    await plain.del("{postern}:delivery:events");
    return ((await used()) - before) / jobs;
  };
  const plainBytes = await measure();
  await redis.command("CONFIG SET hash-max-listpack-value 2048");
  const packedBytes = await measure();
  assert.ok(plainBytes <= 1_536, `${plainBytes} octets`);
  assert.ok(packedBytes <= 1_229, `${packedBytes} octets with larger listpacks`);
});
