import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import {
  consumeBounces,
  consumeDeliveries,
  type DeliveryConsumerOptions,
} from "../../shared/queue/consumer.ts";
import type { BounceTask, Consumer, DeliveryTask, JobNext } from "../../shared/queue/contract/queue.ts";
import type { QueueProducer } from "../../shared/queue/producer.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { connectedProducer } from "../support/connected-producer.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { busy, storedMessage } from "../unit/queue/stored-message.ts";

let redis: TestRedis;
let producer: QueueProducer;
const lines: string[] = [];
const log = createLogger("test", { write: (line) => lines.push(line) });
const toClose: Consumer[] = [];

before(async () => {
  redis = await startRedis();
  producer = await connectedProducer(redis, log);
});
afterEach(async () => {
  await Promise.all(toClose.splice(0).map((consumer) => consumer.close(1_000)));
  await redis.flush();
  lines.length = 0;
});
after(async () => {
  await producer?.close();
  await redis?.close();
});

function consume(
  handle: (task: DeliveryTask) => JobNext | Promise<JobNext>,
  more: Partial<DeliveryConsumerOptions> = {},
): DeliveryTask[] {
  const tasks: DeliveryTask[] = [];
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 8,
    async handle(task) {
      tasks.push(task);
      return handle(task);
    },
    ...more,
  });
  toClose.push(consumer);
  return tasks;
}

async function isGone(jobId: string): Promise<boolean> {
  const keys = ["delivery", "delivery-slow", "dead"].map((queue) => `{postern}:${queue}:${jobId}`);
  return (await redis.command(`EXISTS ${keys.join(" ")}`)) === ":0\r\n";
}

test("a message becomes one job for each recipient group, and adding it again changes nothing", async () => {
  const message = storedMessage({
    to: ["a@example.org", "b@example.org", "c@example.net"],
    parts: [[0, 1], [2]],
  });
  await producer.addDeliveries([
    { message, routes: [routeNamed("mx example.org"), routeNamed("mx example.net")] },
  ]);
  await producer.addDeliveries([
    { message, routes: [routeNamed("mx example.org"), routeNamed("mx example.net")], redelivery: true },
  ]);
  const tasks = consume(() => ({ kind: "done" }));
  await waitFor(
    "both groups are done",
    async () => tasks.length >= 2 && (await isGone(`${message.meta.id}-1`)),
  );
  assert.deepEqual(tasks.map(({ jobId, job }) => [jobId, job.to, job.route]).sort(), [
    [`${message.meta.id}-0`, ["a@example.org", "b@example.org"], "mx example.org"],
    [`${message.meta.id}-1`, ["c@example.net"], "mx example.net"],
  ]);
  assert.ok(tasks.every(({ mayHaveRun }) => mayHaveRun === false));
  assert.equal(await redis.command("LLEN {postern}:delivery:wait"), ":0\r\n");
});

test("an idle worker takes new mail at once, and deferred mail when it is due", async () => {
  const tasks = consume(({ job }) =>
    job.history === undefined
      ? {
          kind: "later",
          atMs: Date.now() + 50,
          queue: "delivery",
          history: { attempts: 1, last: [] },
          route: routeNamed("mx"),
        }
      : { kind: "done" },
  );
  // One of three, for a busy machine may keep the others back.
  const took: number[] = [];
  for (let n = 1; n <= 3; n++) {
    const startedMs = Date.now();
    await producer.addDeliveries([{ message: storedMessage({}), routes: [routeNamed("mx")] }]);
    await waitFor("both tries", () => tasks.length === 2 * n);
    took.push(Date.now() - startedMs);
  }
  assert.ok(Math.min(...took) < 3_000, `${took} ms`);
});

test("a deferred job comes back with its history and route, even in the slow queue, and is only there", async () => {
  const message = storedMessage({});
  await producer.addDeliveries([{ message, routes: [routeNamed("mx example.org", ["example.org"])] }]);
  const history = (attempts: number) => ({
    attempts,
    lastAttemptAtMs: 1_700_000_000_000,
    last: [{ recipients: [0], diagnosis: busy }],
  });
  const tasks = consume(({ job, queue }) => {
    const attempts = job.history?.attempts ?? 0;
    if (attempts >= 3) return { kind: "done" };
    const next = attempts >= 1 ? "delivery-slow" : queue;
    return {
      kind: "later",
      atMs: Date.now() + 20,
      queue: next,
      history: history(attempts + 1),
      route: routeNamed(`try ${attempts}`, [`relay${attempts}.example`]),
    };
  });
  await waitFor(
    "four attempts and the end",
    async () => tasks.length === 4 && (await isGone(tasks[0]?.jobId ?? "")),
  );
  assert.deepEqual(
    tasks.map(({ queue, job }) => [queue, job.route, job.aliases, job.history?.attempts]),
    [
      ["delivery", "mx example.org", ["example.org"], undefined],
      ["delivery", "try 0", ["relay0.example"], 1],
      ["delivery-slow", "try 1", ["relay1.example"], 2],
      ["delivery-slow", "try 2", ["relay2.example"], 3],
    ],
  );
  assert.deepEqual(tasks[3]?.job.history, history(3));
  assert.deepEqual(
    tasks.map(({ mayHaveRun }) => mayHaveRun),
    [false, true, true, true],
  );
});

test("a job is never in both queues: what is in the slow one is not added to the other", async () => {
  const message = storedMessage({});
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  const tasks = consume(() => ({
    kind: "later",
    atMs: Date.now() + 600_000,
    queue: "delivery-slow",
    history: { attempts: 1, last: [] },
    route: routeNamed("mx"),
  }));
  const key = `{postern}:delivery-slow:${message.meta.id}-0`;
  await waitFor("it is in the slow queue", async () => (await redis.command(`EXISTS ${key}`)) === ":1\r\n");
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")], redelivery: true }]);
  assert.equal(await redis.command(`EXISTS {postern}:delivery:${message.meta.id}-0`), ":0\r\n");
  assert.equal(await redis.command("LLEN {postern}:delivery:active"), ":0\r\n");
  assert.equal(tasks.length, 1);
});

test("a postponed job comes back, and no attempt is counted", async () => {
  await producer.addDeliveries([{ message: storedMessage({}), routes: [routeNamed("mx")] }]);
  const tasks = consume(() =>
    tasks.length < 3 ? { kind: "postponed", atMs: Date.now() + 10 } : { kind: "done" },
  );
  await waitFor("three tries", () => tasks.length === 3);
  assert.ok(tasks.every(({ job }) => job.history === undefined));
});

test("a handler that throws is logged with its stack, and the job is kept for a retry soon", async () => {
  const message = storedMessage({});
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  const startedMs = Date.now();
  consume(() => {
    throw new TypeError("a defect of ours");
  });
  const line = await waitFor("the log line", () => lines.find((text) => text.includes("a defect of ours")));
  assert.match(line, /TypeError: a defect of ours\\n\s+at /);
  const score = await waitFor("it is delayed", async () => {
    const reply = await redis.command(`ZSCORE {postern}:delivery:delayed ${message.meta.id}-0`);
    return reply === "$-1\r\n" || reply === "_\r\n" ? undefined : reply;
  });
  const dueAtMs = Number(score.split("\r\n")[1]) / 4096;
  assert.ok(dueAtMs >= startedMs + 10_000 - 1, `due ${dueAtMs - startedMs} ms after the start`);
  assert.ok(dueAtMs <= Date.now() + 10_000, `due in ${dueAtMs - Date.now()} ms`);
});

test("a payload that is not ours neither stops the worker nor loops; one of a newer version is kept", async () => {
  const good = storedMessage({});
  await redis.command(
    "HSET {postern}:delivery:BAD-0 name mail data {{{ opts {} timestamp 1 delay 0 priority 0",
  );
  await redis.command(
    "HSET {postern}:delivery:NEW-0 name mail data '{\"version\":2}' opts {} timestamp 1 delay 0 priority 0",
  );
  await redis.command("LPUSH {postern}:delivery:wait BAD-0 NEW-0");
  await producer.addDeliveries([{ message: good, routes: [routeNamed("mx")] }]);
  const tasks = consume(() => ({ kind: "done" }));
  await waitFor("the good one is done", () => isGone(`${good.meta.id}-0`));
  await waitFor("the bad one is gone", () => isGone("BAD-0"));
  const score = await waitFor("the newer one is kept", async () => {
    const reply = await redis.command("ZSCORE {postern}:delivery:delayed NEW-0");
    return reply.startsWith("$-1") || reply.startsWith("_") ? undefined : reply;
  });
  assert.ok(Number(score.split("\r\n")[1]) / 4096 > Date.now());
  assert.equal(tasks.length, 1);
  assert.equal(lines.filter((text) => text.includes("payload")).length, 2);
});

test("fresh mail does not wait behind slow mail", async () => {
  const slow = Array.from({ length: 20 }, () => storedMessage({ from: "slow@example.com" }));
  await producer.addDeliveries(slow.map((message) => ({ message, routes: [routeNamed("mx")] })));
  let release: () => void = () => {};
  const blocked = new Promise<void>((resolve) => {
    release = resolve;
  });
  const tasks = consume(async ({ queue, job }) => {
    if (job.from !== "slow@example.com") return { kind: "done" };
    if (queue === "delivery-slow") {
      await blocked;
      return { kind: "done" };
    }
    return {
      kind: "later",
      atMs: Date.now(),
      queue: "delivery-slow",
      history: { attempts: 3, last: [] },
      route: routeNamed("mx"),
    };
  });
  await waitFor(
    "the slow share is busy",
    () => tasks.filter(({ queue }) => queue === "delivery-slow").length === 2,
  );
  const fresh = storedMessage({ from: "fresh@example.com" });
  await producer.addDeliveries([{ message: fresh, routes: [routeNamed("mx")] }]);
  await waitFor("the fresh one is done", () => isGone(`${fresh.meta.id}-0`));
  assert.equal(tasks.filter(({ queue }) => queue === "delivery-slow").length, 2);
  release();
});

test("failures that come while their notification is being made lead to one more, none is forgotten", async () => {
  const { meta, locator } = storedMessage({});
  const job = { version: 1 as const, kind: "failed" as const, id: meta.id, locator };
  const seen: BounceTask[] = [];
  let release: () => void = () => {};
  const blocked = new Promise<void>((resolve) => {
    release = resolve;
  });
  toClose.push(
    consumeBounces({
      redis: { url: redis.url },
      log,
      concurrency: 2,
      aggregationWindowMs: 10,
      async handle(task) {
        seen.push(task);
        if (seen.length === 1) await blocked;
        return { kind: "done" };
      },
    }),
  );
  await producer.addBounce(job, 5);
  await producer.addBounce(job, 5);
  await waitFor("the first is under way", () => seen.length === 1);
  await producer.addBounce(job, 5);
  await producer.addBounce(job, 5);
  release();
  await waitFor("the second", () => seen.length === 2);
  await waitFor(
    "the job ended",
    async () => (await redis.command(`EXISTS {postern}:bounce:${meta.id}-failed`)) === ":0\r\n",
  );
  assert.equal(seen.length, 2);
});

test("stopping waits for active jobs, aborts those that do not end in time, and other workers get these at once", async () => {
  const message = storedMessage({});
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  let aborted = false;
  let started = false;
  const first = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 4,
    async handle({ signal }) {
      started = true;
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
      return { kind: "done" };
    },
  }) satisfies Consumer;
  await waitFor("it started", () => started);
  const closing = first.close(50).then(() => {
    aborted = true;
  });
  await closing;
  assert.ok(aborted);
  const tasks = consume(() => ({ kind: "done" }));
  await waitFor("another worker has it", () => isGone(`${message.meta.id}-0`));
  assert.equal(tasks[0]?.mayHaveRun, true);
  assert.equal(lines.filter((text) => text.includes('"level":"error"')).length, 0, lines.join(""));
});
