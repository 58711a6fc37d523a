import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cp, rm } from "node:fs/promises";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ActiveJobs } from "../../shared/queue/bullmq/active-jobs.ts";
import type { WorkerTiming } from "../../shared/queue/bullmq/bullmq-worker.ts";
import { rescheduleScript } from "../../shared/queue/bullmq/worker-scripts.ts";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import type { Consumer, DeliveryTask, JobNext } from "../../shared/queue/contract/queue.ts";
import type { QueueProducer } from "../../shared/queue/producer.ts";
import { Lease } from "../../shared/queue/reconcile/leader-lease.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { connectedProducer } from "../support/connected-producer.ts";
import { onlyShard } from "../support/only-shard.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { storedMessage } from "../unit/queue/stored-message.ts";

const timing = { lockMs: 600, stalledCheckMs: 200, epochCheckMs: 100, reclaimMs: 500 };
const workerProcess = fileURLToPath(new URL("../unit/queue/delivery-worker-process.ts", import.meta.url));
const log = createLogger("test", { write() {} });
let redis: TestRedis;
let producer: QueueProducer;
const toClose: Consumer[] = [];

before(async () => {
  redis = await startRedis();
  producer = await connectedProducer(redis, log);
});
afterEach(async () => {
  await Promise.all(toClose.splice(0).map((consumer) => consumer.close(100)));
  await redis.flush();
});
after(async () => {
  await producer?.close();
  await redis?.close();
});

function consume(handle: (task: DeliveryTask) => Promise<JobNext>, more: Partial<WorkerTiming> = {}): void {
  const options = { redis: { url: redis.url }, log, concurrency: 4, timing: { ...timing, ...more }, handle };
  toClose.push(consumeDeliveries(options));
}

async function exists(key: string): Promise<boolean> {
  return (await redis.command(`EXISTS ${key}`)) === ":1\r\n";
}

test("a job whose workers were killed several times is still delivered", async () => {
  const message = storedMessage({});
  const jobId = `${message.meta.id}-0`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  for (let death = 0; death < 4; death++) {
    const child = spawn(process.execPath, [workerProcess, redis.url], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await waitFor("the worker has the job", () => output.includes(`took ${jobId}`));
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
  }
  const tasks: DeliveryTask[] = [];
  consume(async (task) => {
    tasks.push(task);
    return { kind: "done" };
  });
  await waitFor("it is done", async () => tasks.length > 0 && !(await exists(`{postern}:delivery:${jobId}`)));
  assert.equal(tasks[0]?.mayHaveRun, true);
  assert.ok(!(await exists("{postern}:delivery:failed")));
});

test("the work on a job ends when another worker has taken it", async () => {
  const message = storedMessage({});
  const lock = `{postern}:delivery:${message.meta.id}-0:lock`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  let aborted = false;
  let started = false;
  consume(({ signal }) => {
    started = true;
    return new Promise((resolve) => {
      signal.addEventListener("abort", () => {
        aborted = true;
        resolve({ kind: "done" });
      });
    });
  });
  await waitFor("it started", () => started);
  await redis.command(`SET ${lock} another-worker`);
  await waitFor("its signal is aborted", () => aborted);
  await waitFor("the consumer is idle", async () =>
    (await redis.command(`GET ${lock}`)).includes("another-worker"),
  );
  assert.ok(await exists(`{postern}:delivery:${message.meta.id}-0`), "what it said at last is not heard");
});

test("the work on a job goes on when its lock ran out and no other worker took it", async () => {
  const message = storedMessage({});
  const jobId = `${message.meta.id}-0`;
  const lock = `{postern}:delivery:${jobId}:lock`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  let finish: () => void = () => {};
  let aborted = false;
  let tries = 0;
  consume(async ({ signal }) => {
    tries++;
    signal.addEventListener("abort", () => {
      aborted = true;
    });
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return {
      kind: "later",
      atMs: Date.now() + 600_000,
      queue: "delivery",
      history: { attempts: 1, last: [] },
      route: routeNamed("x"),
    };
  });
  await waitFor("it started", () => tries === 1);
  const token = await redis.command(`GET ${lock}`);
  await redis.command(`DEL ${lock}`);
  await waitFor("the lock is taken again", async () => (await redis.command(`GET ${lock}`)) === token);
  finish();
  await waitFor(
    "it is deferred",
    async () =>
      (await redis.command(`ZSCORE {postern}:delivery:delayed ${jobId}`)).includes("+") ||
      (await redis.command(`ZCARD {postern}:delivery:delayed`)) === ":1\r\n",
  );
  assert.equal(tries, 1);
  assert.equal(aborted, false);
});

test("locks are renewed when the clock is set back by an hour", async (t) => {
  const message = storedMessage({});
  const lock = `{postern}:delivery:${message.meta.id}-0:lock`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  let runs = 0;
  consume(
    async () => {
      runs++;
      await finished;
      return { kind: "done" };
    },
    { lockMs: 4_000 },
  );
  await waitFor("it started", () => runs === 1);
  const token = await redis.command(`GET ${lock}`);
  const { now } = Date;
  t.mock.method(Date, "now", () => now() - 3_600_000);
  for (const time of ["first", "second"]) {
    await redis.command(`PEXPIRE ${lock} 2500`);
    const ttlMs = async () => Number(/:(\d+)/.exec(await redis.command(`PTTL ${lock}`))?.[1]);
    await waitFor(`the lock is renewed a ${time} time`, async () => (await ttlMs()) > 2_500);
  }
  assert.equal(await redis.command(`GET ${lock}`), token, "the job was not handed out again");
  finish();
  await waitFor("it is done", async () => !(await exists(`{postern}:delivery:${message.meta.id}-0`)));
  assert.equal(runs, 1);
});

test("a dead worker's job is delivered soon although Redis' clock was set back by an hour", async () => {
  const message = storedMessage({});
  const base = "{postern}:delivery:";
  const jobId = `${message.meta.id}-0`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  // What a worker that was killed before the clock was set back leaves behind.
  await redis.command(`LMOVE ${base}wait ${base}active RIGHT LEFT`);
  await redis.command(`SET ${base}${jobId}:lock dead-worker PX 3600000`);
  await redis.command(`SET ${base}stalled-check 1 PX 3600000`);
  const tasks: DeliveryTask[] = [];
  consume(async (task) => {
    tasks.push(task);
    return { kind: "done" };
  });
  await waitFor("it is done", async () => tasks.length > 0 && !(await exists(`${base}${jobId}`)));
  assert.equal(tasks[0]?.mayHaveRun, true);
});

test("a lease of a dead process ends soon although Redis' clock was set back by an hour", async () => {
  const connection = createRedis({ url: redis.url }, "plain", log);
  try {
    await redis.command("SET the-lease dead-process PX 3600000");
    const lease = new Lease(connection, "the-lease", 200);
    assert.equal(await lease.renew(), "others");
    await waitFor("it is taken", async () => (await lease.renew()) === "taken");
  } finally {
    connection.disconnect();
  }
});

test("a job that is handed out again while it is being worked on is not worked on twice", async () => {
  const message = storedMessage({});
  const jobId = `${message.meta.id}-0`;
  const base = "{postern}:delivery:";
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  let runs = 0;
  let aborted = false;
  const history = { attempts: 3, last: [] };
  consume(
    async ({ signal }) => {
      runs++;
      signal.addEventListener("abort", () => {
        aborted = true;
      });
      await finished;
      return {
        kind: "later",
        atMs: Date.now() + 600_000,
        queue: "delivery",
        history,
        route: routeNamed("x"),
      };
    },
    { lockMs: 60_000 },
  );
  await waitFor("it started", () => runs === 1);
  const firstLock = await redis.command(`GET ${base}${jobId}:lock`);
  // As in a replica that is a moment behind: the job waits, and no worker has it.
  for (const command of [
    `DEL ${base}${jobId}:lock`,
    `LREM ${base}active 1 ${jobId}`,
    `RPUSH ${base}wait ${jobId}`,
    `ZADD ${base}marker 0 0`,
  ])
    await redis.command(command);
  await waitFor("it is handed out again", async () => {
    const lock = await redis.command(`GET ${base}${jobId}:lock`);
    return lock.startsWith("$") && !lock.startsWith("$-1") && lock !== firstLock;
  });
  finish();
  await waitFor("it is deferred", async () => (await redis.command(`ZCARD ${base}delayed`)) === ":1\r\n");
  assert.match(await redis.command(`HGET ${base}${jobId} data`), /"attempts":3/);
  assert.deepEqual({ runs, aborted }, { runs: 1, aborted: false });
});

test("mail is delivered once each when Redis comes back a moment older", async () => {
  const stored = path.dirname(new URL(redis.url).pathname);
  const [current, older] = ["appendonlydir", "older"].map((name) => path.join(stored, name)) as [
    string,
    string,
  ];
  // The first job is known to the older Redis, the second one is not.
  const [known, forgotten] = [storedMessage({}), storedMessage({})];
  const enqueue = (message: StoredMessage) =>
    producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  await enqueue(known);
  // Redis writes to its append-only file before it answers.
  await cp(current, older, { recursive: true });
  await enqueue(forgotten);

  const runs = new Map<string, number>();
  let aborted = 0;
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  const handle = async ({ job, signal }: DeliveryTask): Promise<JobNext> => {
    runs.set(job.id, (runs.get(job.id) ?? 0) + 1);
    signal.addEventListener("abort", () => aborted++);
    if (job.id === known.meta.id || job.id === forgotten.meta.id) await finished;
    return { kind: "done" };
  };
  const real = { lockMs: 20_000, stalledCheckMs: 5_000, reclaimMs: 1_500 };
  consume(handle, real);
  await waitFor("both started", () => runs.size === 2);
  consume(handle, real);
  await redis.kill();
  await rm(current, { recursive: true });
  await cp(older, current, { recursive: true });
  await redis.restart();
  // Mail that is accepted now is taken after what waits already.
  const next = storedMessage({});
  await waitFor("the producer is back", () =>
    enqueue(next).then(
      () => true,
      () => false,
    ),
  );
  await waitFor("workers take jobs again", () => runs.has(next.meta.id));
  await waitFor("the forgotten job is there again", () =>
    exists(`{postern}:delivery:${forgotten.meta.id}-0`),
  );
  assert.equal(aborted, 0);
  finish();
  for (const { meta } of [known, forgotten])
    await waitFor("its job ends", async () => !(await exists(`{postern}:delivery:${meta.id}-0`)));
  assert.deepEqual([...runs.values()], [1, 1, 1]);
});

test("a job that is deferred while its worker takes locks again stays deferred", async () => {
  const message = storedMessage({});
  const jobId = `${message.meta.id}-0`;
  const base = "{postern}:delivery:";
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  const connection = createRedis({ url: redis.url }, "plain", log);
  const activeJobs = new ActiveJobs("delivery", onlyShard(connection), 60_000, log);
  try {
    // As its worker would take it.
    await redis.command(`RPOPLPUSH ${base}wait ${base}active`);
    await redis.command(`SET ${base}${jobId}:lock worker:1`);
    activeJobs.add(jobId, "worker:1", {});
    await activeJobs.endWithLock(jobId, async () => {
      const args = [jobId, "worker:1", Date.now() + 600_000, "", "", Date.now()];
      const code = Number(await rescheduleScript.run(connection, [base, base], args));
      // Redis has deferred it, and its reply is on the way when the connection is back.
      await activeJobs.reclaimAll();
      return code;
    });
    assert.equal(await redis.command(`ZCARD ${base}delayed`), ":1\r\n");
    assert.equal(await redis.command(`LLEN ${base}active`), ":0\r\n");
  } finally {
    connection.disconnect();
  }
});

test("an active job is restored for its worker when Redis is emptied, and its mail is delivered once", async () => {
  const message = storedMessage({});
  const jobId = `${message.meta.id}-0`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  let finish: () => void = () => {};
  let aborted = false;
  let tries = 0;
  consume(async ({ signal }) => {
    tries++;
    signal.addEventListener("abort", () => {
      aborted = true;
    });
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return { kind: "done" };
  });
  await waitFor("it started", () => tries === 1);
  await redis.flush();
  await waitFor("it is active again", async () =>
    (await redis.command("LRANGE {postern}:delivery:active 0 -1")).includes(jobId),
  );
  // As the reconciler would.
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")], redelivery: true }]);
  assert.equal(await redis.command("LLEN {postern}:delivery:wait"), ":0\r\n");
  finish();
  await waitFor("it is done", async () => !(await exists(`{postern}:delivery:${jobId}`)));
  assert.equal(tries, 1);
  assert.equal(aborted, false);
});

test("an attempt that ends just after Redis was emptied is recorded", async () => {
  const message = storedMessage({});
  const jobId = `${message.meta.id}-0`;
  await producer.addDeliveries([{ message, routes: [routeNamed("mx")] }]);
  consume(
    async () => {
      await redis.flush();
      const history = { attempts: 7, last: [] };
      return {
        kind: "later",
        atMs: Date.now() + 600_000,
        queue: "delivery",
        history,
        route: routeNamed("mx"),
      };
    },
    { epochCheckMs: 60_000, lockMs: 60_000 },
  );
  await waitFor(
    "it is deferred",
    async () => (await redis.command("ZCARD {postern}:delivery:delayed")) === ":1\r\n",
  );
  assert.match(await redis.command(`HGET {postern}:delivery:${jobId} data`), /"attempts":7/);
});
