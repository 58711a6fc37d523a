import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { heldDueMs, scoreOf } from "../../shared/queue/bullmq/due-times.ts";
import { releaseJobs } from "../../shared/queue/bullmq/jobs.ts";
import { jobKey, queueKey } from "../../shared/queue/bullmq/keys.ts";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import { readHoldsFile } from "../../shared/queue/holds/file.ts";
import { createHolds, type Holds } from "../../shared/queue/holds/store.ts";
import { createInspector, type Inspector } from "../../shared/queue/operator/inspector.ts";
import type { QueueProducer } from "../../shared/queue/producer.ts";
import { createReconciler } from "../../shared/queue/reconcile/reconciler.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis, type RedisConnection } from "../../shared/runtime/redis.ts";
import { createMemorySpool } from "../../shared/spool/memory.ts";
import { testConfig } from "../support/config.ts";
import { connectedProducer } from "../support/connected-producer.ts";
import { onlyShard } from "../support/only-shard.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { storedMessage } from "../unit/queue/stored-message.ts";

const log = createLogger("test", { write() {} });
let redis: TestRedis;
let directory: string;
let producer: QueueProducer;
const toClose: (() => Promise<void>)[] = [];

before(async () => {
  redis = await startRedis();
  directory = await mkdtemp(path.join(tmpdir(), "holds-"));
  producer = await connectedProducer(redis, log);
});
afterEach(async () => {
  await Promise.all(toClose.splice(0).map((close) => close()));
  await redis.flush();
  await rm(path.join(directory, "holds.json"), { force: true });
});
after(async () => {
  await producer?.close();
  await redis?.close();
  await rm(directory, { recursive: true, force: true });
});

async function holdsOf(file = "holds.json", pollMs = 100): Promise<Holds> {
  const holds = createHolds({
    redis: { url: redis.url },
    file: path.join(directory, file),
    log,
    pollMs,
  });
  toClose.push(() => holds.close());
  await holds.ready;
  return holds;
}

function inspect(holds: Holds): Inspector {
  const inspector = createInspector({ redis: { url: redis.url }, holds, log });
  toClose.push(() => inspector.close());
  return inspector;
}

/** A worker that delivers everything, with holds of its own as another process has them. */
async function work(rules = 0): Promise<string[]> {
  const holds = await holdsOf();
  await waitFor("the worker knows the holds", () => holds.list().length === rules);
  const delivered: string[] = [];
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 8,
    holds,
    async handle({ job }) {
      delivered.push(...job.to);
      return { kind: "done" };
    },
  });
  toClose.push(() => consumer.close(500));
  return delivered;
}

async function accept(...addresses: string[]): Promise<string[]> {
  const messages = addresses.map((address) => storedMessage({ to: [address] }));
  await producer.addDeliveries(messages.map((message) => ({ message, routes: [routeNamed("mx")] })));
  return messages.map(({ meta }) => meta.id);
}

function plainConnection(): RedisConnection {
  const client = createRedis({ url: redis.url }, "plain", log);
  toClose.push(async () => client.disconnect());
  return client;
}

test("mail for a held domain is held without an attempt, other mail is delivered, and a release delivers the rest", async () => {
  const holds = await holdsOf();
  const inspector = inspect(holds);
  await holds.add([{ kind: "destination", value: "Held.example", reason: "the site is down" }]);
  const delivered = await work(1);
  await accept("a@held.example", "b@free.example", "c@HELD.example");
  await waitFor("the free one is delivered", () => delivered.includes("b@free.example"));
  await waitFor("two are held", async () => (await inspector.counts()).delivery.held === 2);
  const { rows } = await inspector.list({ status: "held" }, { limit: 10 });
  assert.deepEqual(
    rows
      .map(({ to, status, reason, nextAttemptAt, attempts }) => [to, status, reason, nextAttemptAt, attempts])
      .sort(),
    [
      [["a@held.example"], "held", "the site is down", null, 0],
      [["c@HELD.example"], "held", "the site is down", null, 0],
    ],
  );
  const spared = await inspector.retry({ filter: {} });
  assert.deepEqual([spared.matched, spared.changed], [2, 0]);
  assert.equal(spared.skipped[0]?.reason, "is held by destination:held.example: release it first");

  const released = await inspector.release({ filter: { to: "*@held.example" } });
  assert.equal(released.changed, 2);
  await waitFor("they are delivered", () => delivered.length === 3);
  assert.deepEqual(holds.list(), []);
});

test("one of several waiting messages is held by its id, by another process than the worker", async () => {
  const holds = await holdsOf();
  const inspector = inspect(holds);
  const [first = ""] = await accept("a@example.org", "b@example.org");
  const report = await inspector.hold({ ids: [first, "NOSUCHID"] }, { reason: "looks odd" });
  assert.deepEqual(report, { matched: 1, changed: 1, skipped: [], unknown: ["NOSUCHID"], rule: null });
  const delivered = await work(1);
  await waitFor("the other is delivered", () => delivered.includes("b@example.org"));
  assert.deepEqual(
    (await inspector.find(first)).map(({ status }) => status),
    ["held"],
  );
  assert.equal((await inspector.release({ ids: [`${first}-0`] })).changed, 1);
  await waitFor("it is delivered", () => delivered.includes("a@example.org"));
});

test("a hold by id ends when its message is removed", async () => {
  const holds = await holdsOf();
  const inspector = inspect(holds);
  const ids = await accept("a@example.org", "b@example.org");
  await inspector.hold({ ids });
  assert.equal(holds.list().length, 2);
  assert.equal((await inspector.remove({ ids })).changed, 2);
  assert.deepEqual(holds.list(), []);
});

test("a release reports the jobs that another rule still holds, and which rule", async () => {
  const inspector = inspect(await holdsOf());
  const [id = ""] = await accept("a@example.org");
  await inspector.hold({ ids: [id] });
  await inspector.hold({ filter: { to: "*@example.org" } });
  assert.deepEqual(await inspector.release({ ids: [id] }), {
    matched: 1,
    changed: 0,
    skipped: [{ id: `${id}-0`, reason: "is still held by destination:example.org" }],
    unknown: [],
  });
});

test("simultaneous changes, also from several processes, all end up in Redis and in the file", async () => {
  const [one, other] = [await holdsOf(), await holdsOf()];
  const values = Array.from({ length: 30 }, (_, n) => `d${n}.example`);
  await Promise.all(
    values.map((value, n) => (n % 2 === 0 ? one : other).add([{ kind: "destination", value, reason: "" }])),
  );
  const copy = await readHoldsFile(path.join(directory, "holds.json"));
  assert.deepEqual(copy?.rules.map(({ value }) => value).sort(), [...values].sort());
  assert.deepEqual(await readdir(directory), ["holds.json"]);
  assert.equal(String(copy?.version), (await redis.command("HGET {postern}:holds version")).split("\r\n")[1]);
});

test("no rule is lost to a process that takes Redis for older than it is", async () => {
  for (let round = 0; round < 15; round++) {
    const all = await Promise.all([1, 2, 3].map(() => holdsOf("holds.json", 1)));
    const add = (_: unknown, n: number) =>
      all[n % 3]?.add([{ kind: "destination", value: `round${round}-${n}.example`, reason: "" }]);
    await Promise.all(Array.from({ length: 45 }, add));
    const rules = (await readHoldsFile(path.join(directory, "holds.json")))?.rules.length;
    assert.equal(rules, (round + 1) * 45);
    assert.equal(await redis.command("HLEN {postern}:holds"), `:${(round + 1) * 45 + 1}\r\n`);
    await Promise.all(toClose.splice(0).map((close) => close()));
  }
});

test("holding all mail holds later mail too", async () => {
  const holds = await holdsOf();
  const inspector = inspect(holds);
  await accept("a@example.org");
  assert.equal((await inspector.hold({ filter: {} })).rule, "all:");
  const delivered = await work(1);
  await accept("b@example.org");
  await waitFor("both are held", async () => (await inspector.counts()).delivery.held === 2);
  assert.deepEqual(delivered, []);
  assert.equal((await inspector.release({ filter: {} })).changed, 2);
  await waitFor("both are delivered", () => delivered.length === 2);
});

test("holds survive an emptied Redis, from memory and from the file", async () => {
  const holds = await holdsOf();
  await holds.add([{ kind: "sender", value: "*@spam.example", reason: "" }]);
  await redis.flush();
  await waitFor(
    "they are in Redis again",
    async () => (await redis.command("HEXISTS {postern}:holds sender:*@spam.example")) === ":1\r\n",
  );
  await holds.close();
  await redis.flush();
  const later = await holdsOf();
  assert.equal(later.list()[0]?.value, "*@spam.example");
  assert.ok(later.match({ id: "X", part: 0, from: "x@spam.example", to: [], route: "" }));
  const elsewhere = await holdsOf("of-another-host.json");
  assert.equal(elsewhere.list().length, 1);
});

test("a hold that expires releases its mail by itself", async () => {
  const holds = await holdsOf();
  const inspector = inspect(holds);
  await holds.add([{ kind: "sender", value: "ann@example.com", reason: "", untilMs: Date.now() + 4_000 }]);
  const delivered = await work(1);
  await accept("a@example.org");
  await waitFor("it is held", async () => (await inspector.counts()).delivery.held === 1);
  const reconciler = createReconciler({
    spool: createMemorySpool(),
    redis: { url: redis.url },
    config: testConfig(),
    log,
    holds,
    summarizeRoute: () => routeNamed("mx"),
    timing: { tickMs: 100, reclaimMs: 0 },
  });
  toClose.push(() => reconciler.close());
  await waitFor("it is delivered", () => delivered.length === 1);
  assert.deepEqual(holds.list(), []);
});

test("a worker that does not know of a release yet asks Redis before it holds a job", async () => {
  const rule = { kind: "all" as const, value: "", reason: "", createdAtMs: 0 };
  const delivered: string[] = [];
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 2,
    holds: { match: () => rule, confirm: async () => undefined },
    async handle({ jobId }) {
      delivered.push(jobId);
      return { kind: "done" };
    },
  });
  toClose.push(() => consumer.close(500));
  await accept("a@example.org");
  await waitFor("it is delivered", () => delivered.length === 1);
});

test("the time held is counted at each release, over several holds, and no moment twice", async () => {
  const holds = await holdsOf();
  const inspector = inspect(holds);
  const [id = ""] = await accept("a@example.org");
  const hourMs = 3_600_000;
  const client = plainConnection();
  /** As if it had been held an hour earlier. */
  const longAgo = () =>
    client.zadd(
      queueKey({ prefix: "{postern}" }, "delivery", "delayed"),
      scoreOf(heldDueMs(Date.now()) - 3600),
      `${id}-0`,
    );
  const heldMs = async () => (await inspector.find(id))[0]?.job.heldMs ?? 0;

  await inspector.hold({ ids: [id] }, { reason: 'says ,"heldMs":99999999}' });
  await longAgo();
  // Held once more, by another rule: it is held since the first one.
  await inspector.hold({ filter: {} }, {});
  await inspector.release({ filter: {} });
  assert.ok((await heldMs()) >= hourMs && (await heldMs()) < hourMs + 60_000, `${await heldMs()}`);
  assert.equal((await inspector.find(id))[0]?.status, "deferred");

  await inspector.hold({ ids: [id] }, {});
  await longAgo();
  await inspector.release({ ids: [id] });
  assert.ok((await heldMs()) >= 2 * hourMs && (await heldMs()) < 2 * hourMs + 60_000, `${await heldMs()}`);
  const [found] = await inspector.find(id);
  assert.deepEqual(found?.job.to, ["a@example.org"], "the rest of the payload is as it was");
});

test("the time held is added to the payload without changing the rest: empty lists, fractions, quotes", async () => {
  const holds = await holdsOf();
  const inspector = inspect(holds);
  const client = plainConnection();
  const [id = ""] = await accept("a@example.org");
  const jobId = `${id}-0`;
  const payload = {
    ...JSON.parse((await client.hget(jobKey({ prefix: "{postern}" }, "delivery", jobId), "data")) ?? ""),
    from: 'ann,"heldMs":7}@example.com',
    history: { attempts: 0, lastAttemptAtMs: 1_700_000_000_000.5, last: [] },
  };
  await client.hset(jobKey({ prefix: "{postern}" }, "delivery", jobId), "data", JSON.stringify(payload));
  await inspector.hold({ ids: [id] });
  await client.zadd(
    queueKey({ prefix: "{postern}" }, "delivery", "delayed"),
    scoreOf(heldDueMs(Date.now()) - 60),
    jobId,
  );
  await inspector.release({ ids: [id] });
  const { heldMs, ...rest } = JSON.parse(
    (await client.hget(jobKey({ prefix: "{postern}" }, "delivery", jobId), "data")) ?? "",
  );
  assert.deepEqual(rest, payload);
  assert.ok(heldMs >= 60_000 && heldMs < 90_000, `${heldMs}`);
});

test("a job that changes while it is released keeps the change, and is released all the same", async () => {
  const inspector = inspect(await holdsOf());
  const client = plainConnection();
  const [id = ""] = await accept("a@example.org");
  const jobId = `${id}-0`;
  await inspector.hold({ ids: [id] });
  const key = jobKey({ prefix: "{postern}" }, "delivery", jobId);
  const evalsha = client.evalsha.bind(client);
  let runs = 0;
  // Changes the job between the reading and the script that writes the new payload.
  client.evalsha = (async (...args: Parameters<typeof evalsha>) => {
    if (runs++ === 0) {
      const data = JSON.parse((await client.hget(key, "data")) ?? "");
      await client.hset(key, "data", JSON.stringify({ ...data, route: "changed", heldMs: 1_000 }));
    }
    return evalsha(...args);
  }) as typeof evalsha;
  assert.equal(await releaseJobs(onlyShard(client), "delivery", [jobId], Date.now() + 5_000), 1);
  const [found] = await inspector.find(id);
  assert.deepEqual([found?.status, found?.job.route], ["deferred", "changed"]);
  assert.ok((found?.job.heldMs ?? 0) >= 6_000, `${found?.job.heldMs}`);
});

test("a job that changes each time stays held, and the next sweep finds it", async () => {
  const inspector = inspect(await holdsOf());
  const client = plainConnection();
  const [id = ""] = await accept("a@example.org");
  await inspector.hold({ ids: [id] });
  const evalsha = client.evalsha.bind(client);
  let runs = 0;
  client.evalsha = (async (...args: Parameters<typeof evalsha>) => {
    const data = JSON.stringify({ ...(await inspector.find(id))[0]?.job, heldMs: ++runs });
    await client.hset(jobKey({ prefix: "{postern}" }, "delivery", `${id}-0`), "data", data);
    return evalsha(...args);
  }) as typeof evalsha;
  assert.equal(await releaseJobs(onlyShard(client), "delivery", [`${id}-0`], Date.now()), 0);
  assert.equal((await inspector.find(id))[0]?.status, "held");
});
