import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { makeDue } from "../../shared/queue/bullmq/jobs.ts";
import { consumeBounces, consumeDeliveries } from "../../shared/queue/consumer.ts";
import type { DeliveryTask } from "../../shared/queue/contract/queue.ts";
import { holdCovered } from "../../shared/queue/holds/enforcement.ts";
import { createHolds, type Holds } from "../../shared/queue/holds/store.ts";
import { createInspector, type Inspector } from "../../shared/queue/operator/inspector.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis, type RedisConnection } from "../../shared/runtime/redis.ts";
import { onlyShard, onlyShards } from "../support/only-shard.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { waitFor } from "../support/wait-for.ts";

/** Job ids in what 0.1 wrote, by what it had done to the message. */
const jobs = {
  waiting: "1M8P5FNA5ZM5PYVRSZ-0",
  /** Added a second time by its publisher. */
  added: "1M8P5FNA5YJWKAV82C-0",
  requeued: "1M8P5FNA57DWF84Q4F-0",
  deferred: "1M8P5FNA5QPVTK6KJ1-0",
  slow: "1M8P5FNA57EMXTNY6M-0",
  /** Held for an hour, then released. */
  released: "1M8P5FNA59F83E0VXS-0",
  /** Held for two hours, released, and held again since. */
  held: "1M8P5FNA5MK8PGKPFN-0",
  dead: "1M8P5FNA56D2MV96F0-0",
};
const bounceJob = "1M8P5FNA51SNN8W6EQ-failed";
const hourMs = 3_600_000;

const log = createLogger("test", { write() {} });
let redis: TestRedis;
let directory: string;
let plain: RedisConnection;
let holds: Holds;
let inspector: Inspector;
const toClose: { close(graceMs: number): Promise<void> }[] = [];

before(async () => {
  redis = await startRedis();
  directory = await mkdtemp(path.join(tmpdir(), "version-before-"));
  plain = createRedis({ url: redis.url }, "plain", log);
});
beforeEach(async () => {
  await load();
  holds = createHolds({ redis: { url: redis.url }, file: path.join(directory, "holds.json"), log });
  inspector = createInspector({ redis: { url: redis.url }, holds, log });
  await holds.ready;
});
afterEach(async () => {
  await Promise.all(toClose.splice(0).map((consumer) => consumer.close(1_000)));
  await inspector.close();
  await holds.close();
  await redis.flush();
  await rm(path.join(directory, "holds.json"), { force: true });
});
after(async () => {
  plain?.disconnect();
  await redis?.close();
  await rm(directory, { recursive: true, force: true });
});

/** Hashes as objects, lists from the head on, sorted sets as member, score, member, score … */
async function load(): Promise<void> {
  const file = new URL("../golden/queues-of-0.1.json", import.meta.url);
  const keys: Record<string, Record<string, string> | string[]> = JSON.parse(await readFile(file, "utf8"));
  for (const [key, value] of Object.entries(keys)) {
    if (!Array.isArray(value)) await plain.hset(key, value);
    else if (key.endsWith(":wait")) await plain.rpush(key, ...value);
    else {
      for (let i = 0; i < value.length; i += 2) await plain.zadd(key, value[i + 1] ?? "", value[i] ?? "");
    }
  }
}

async function heldMs(jobId: string): Promise<number> {
  return (await inspector.find(jobId))[0]?.job.heldMs ?? 0;
}

test("mail that the version before enqueued is listed where it was, with what was known of it", async () => {
  const { rows } = await inspector.list({}, { limit: 100 });
  const listed = new Map(rows.map((row) => [row.id, [row.queue, row.status, row.attempts, row.to[0]]]));
  assert.deepEqual(
    Object.entries(jobs).map(([name, jobId]) => [name, listed.get(jobId)]),
    [
      ["waiting", ["delivery", "waiting", 0, "waiting@example.org"]],
      ["added", ["delivery", "waiting", 0, "again@example.org"]],
      ["requeued", ["delivery", "waiting", 0, "requeued@example.org"]],
      ["deferred", ["delivery", "deferred", 2, "deferred@example.org"]],
      ["slow", ["delivery-slow", "deferred", 2, "slow@example.org"]],
      ["released", ["delivery", "deferred", 0, "released@example.org"]],
      ["held", ["delivery", "held", 0, "held@example.org"]],
      ["dead", ["dead", "dead", 2, "dead@example.org"]],
    ],
  );
  assert.equal(rows.length, 8);
  assert.equal(rows.find(({ id }) => id === jobs.held)?.reason, "looks odd");
  assert.match(rows.find(({ id }) => id === jobs.dead)?.reason ?? "", /451 4\.2\.1 Mailbox busy/);
  assert.equal((await inspector.counts()).bounce.deferred, 1);
});

test("how long the version before held a message still counts, and a later hold is added to it", async () => {
  assert.equal(await heldMs(jobs.released), 3_600_912);
  assert.equal((await inspector.release({ ids: [jobs.held] })).changed, 1);
  assert.deepEqual(holds.list(), []);
  const beforeSecond = await heldMs(jobs.held);
  assert.ok(beforeSecond >= 7_200_998, `${beforeSecond}`);

  await inspector.hold({ ids: [jobs.released] });
  const score = Number(await plain.zscore("{postern}:delivery:delayed", jobs.released));
  await plain.zadd("{postern}:delivery:delayed", score - (hourMs / 1000) * 4096, jobs.released);
  await inspector.release({ ids: [jobs.released] });
  const sum = await heldMs(jobs.released);
  assert.ok(sum >= 3_600_912 + hourMs && sum < 3_600_912 + hourMs + 60_000, `${sum}`);
});

test("a hold by a next hop covers jobs that carry only the label of their route", async () => {
  await holds.add([{ kind: "destination", value: "smarthost", reason: "" }]);
  assert.equal(await holdCovered(onlyShards(plain), holds), 1);
  assert.equal((await inspector.find(jobs.waiting))[0]?.status, "held");
});

test("mail that the version before enqueued is delivered, with its history and its time to expire", async () => {
  await inspector.release({ filter: { status: "held" } });
  await inspector.requeue({ filter: { status: "dead" } });
  await inspector.retry({ filter: {} });
  const tasks = new Map<string, DeliveryTask>();
  toClose.push(
    consumeDeliveries({
      redis: { url: redis.url },
      log,
      concurrency: 4,
      holds,
      async handle(task) {
        tasks.set(task.jobId, task);
        return { kind: "done" };
      },
    }),
  );
  const ids = Object.values(jobs);
  await waitFor("all are delivered", async () => tasks.size === ids.length);
  assert.deepEqual([...tasks.keys()].sort(), [...ids].sort());
  const task = (name: keyof typeof jobs): DeliveryTask => {
    const found = tasks.get(jobs[name]);
    assert.ok(found);
    return found;
  };
  assert.equal(task("waiting").mayHaveRun, false);
  assert.equal(task("added").mayHaveRun, true);
  assert.equal(task("requeued").job.revivedAtMs, 1_796_051_084_061);
  assert.equal(task("deferred").job.history?.attempts, 2);
  assert.equal(task("slow").queue, "delivery-slow");
  assert.equal(task("slow").job.history?.last[0]?.diagnosis.status, "4.2.1");
  assert.equal(task("released").job.heldMs, 3_600_912);
  assert.equal(task("dead").job.history, undefined, "it has a new schedule");
});

test("a notification that the version before enqueued is made", async () => {
  assert.equal(await makeDue(onlyShard(plain), "bounce", [bounceJob], Date.now()), 1);
  const made: string[] = [];
  toClose.push(
    consumeBounces({
      redis: { url: redis.url },
      log,
      concurrency: 1,
      aggregationWindowMs: 10,
      async handle({ job }) {
        made.push(`${job.kind} ${job.id}`);
        return { kind: "done" };
      },
    }),
  );
  await waitFor("it is made", () => made.length === 1);
  assert.deepEqual(made, [`failed ${bounceJob.replace("-failed", "")}`]);
});
