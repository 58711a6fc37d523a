/** Redis has memory for a third of the jobs that the spool needs: the rest is scheduled as deliveries make room. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { createAdmission } from "../../services/ingress/admission/admission.ts";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import { createReconciler, type Reconciler } from "../../shared/queue/reconcile/reconciler.ts";
import { createMemoryMeter } from "../../shared/runtime/memory-meter.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { createMemorySpool } from "../../shared/spool/memory.ts";
import type { Spool, StoredMessage, WalkPlace } from "../../shared/spool/spool.ts";
import { testConfig } from "../support/config.ts";
import { connectedProducer } from "../support/connected-producer.ts";
import { startRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { accept, storedMessage } from "../unit/queue/stored-message.ts";

const many = 3_000;
const fewer = 1_500;
/** What a job of these messages takes of Redis' memory, about, with what it takes when it is deferred. */
const octetsOfJob = 1_400;
const limitMs = 120_000;
const timing = {
  tickMs: 50,
  leaseMs: 60_000,
  reclaimMs: 100,
  scanEveryMs: 3_600_000,
  collectEveryMs: 200,
  collectAtMostMs: 200,
};
const config = testConfig();

interface Line {
  msg?: string;
  event?: string;
  messages?: number;
  reason?: string;
}

interface Files {
  /** Of the process that accepted the mail, and is gone. */
  writer: Spool;
  spool: Spool;
  remove(): Promise<void>;
}

/** A spool on disk, in which each collection moves what waits. */
async function openFiles(): Promise<Files> {
  const directory = await mkdtemp(join(tmpdir(), "postern-larger-"));
  const open = () =>
    createFsSpool({ directory, minFreeBytes: 0, segmentBytes: 100_000, moveAfterMs: 0, moveShare: 1 });
  return { writer: open(), spool: open(), remove: () => rm(directory, { recursive: true }) };
}

/** A spool of mail that is an hour old, and a Redis that is too small for it. */
async function makeGateway(t: TestContext, files?: Files, messages = many) {
  const redis = await startRedis();
  const lines: Line[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const spool = files?.spool ?? createMemorySpool();
  /** Where each walk over the spool began. */
  const walks: (WalkPlace | undefined)[] = [];
  const unsettled = spool.unsettled.bind(spool);
  spool.unsettled = (walk) => {
    walks.push(walk?.after);
    return unsettled(walk);
  };
  const connection = createRedis({ url: redis.url }, "plain", log);
  const producer = await connectedProducer(redis, log);
  const admission = createAdmission({
    limits: config.limits,
    spool,
    redis: connection,
    log,
    memory: { ...createMemoryMeter(), share: () => 0 },
    measureEveryMs: 20,
  });
  const reconcilers: Reconciler[] = [];
  const reconcile = (): Reconciler => {
    const summarizeRoute = () => routeNamed("mx");
    const options = { spool, redis: { url: redis.url }, config, log, timing, summarizeRoute };
    const reconciler = createReconciler(options);
    reconcilers.push(reconciler);
    return reconciler;
  };
  const delivered: string[] = [];
  let gate = Promise.withResolvers<void>();
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 50,
    async handle({ job }) {
      await gate.promise;
      await spool.settle([{ id: job.id, recipients: [0], state: { kind: "delivered" } }]);
      delivered.push(job.id);
      return { kind: "done" };
    },
  });
  t.after(async () => {
    await Promise.all(reconcilers.map((reconciler) => reconciler.close()));
    gate.resolve();
    await consumer.close(1_000);
    admission.close();
    await producer.close();
    connection.disconnect();
    await spool.close();
    await redis.close();
    await files?.remove();
  });

  // So that what all of them load and open counts below.
  const ids: string[] = [];
  for (let n = 0; n < 200; n++) ids.push((await accept(spool, storedMessage({}))).meta.id);
  const warmingUp = reconcile();
  gate.resolve();
  await waitFor("the first ones are delivered", () => delivered.length === ids.length, limitMs);
  await warmingUp.close();
  delivered.length = 0;
  walks.length = 0;
  lines.length = 0;
  gate = Promise.withResolvers();

  const memoryUsed = async (): Promise<number> =>
    Number(/^used_memory:(\d+)/m.exec(await connection.info("memory"))?.[1]);
  const receivedAtMs = Date.now() - 3_600_000;
  const old = Array.from({ length: messages }, () => storedMessage({ receivedAtMs }));
  await Promise.all(old.map((message) => accept(files?.writer ?? spool, message)));
  await files?.writer.close();
  const room = (messages / 3) * octetsOfJob;
  await redis.command(`CONFIG SET maxmemory ${Math.ceil(((await memoryUsed()) + room) / 0.75)}`);

  return {
    redis,
    spool,
    producer,
    admission,
    lines,
    walks,
    delivered,
    logged: (text: RegExp): Line[] => lines.filter(({ msg = "" }) => text.test(msg)),
    waiting: (): Promise<number> => connection.llen("{postern}:delivery-slow:wait"),
    ahead: (): Promise<number> => connection.llen("{postern}:delivery:wait"),
    isAhead: async (id: string): Promise<boolean> =>
      (await connection.lpos("{postern}:delivery:wait", `${id}-0`)) !== null,
    reconcile,
    deliver: (): void => gate.resolve(),
    async acceptFresh(): Promise<StoredMessage> {
      assert.equal(admission.refuseMail(1_000), undefined);
      // By a host whose clock is a little ahead, so that it is recent on a slow machine, too.
      return accept(spool, storedMessage({ receivedAtMs: Date.now() + 5_000 }));
    },
  };
}

const hasNoRoom = /^Redis has no room for all mail of the spool/;

test("mail is accepted and overtakes while a spool three times as large as Redis' memory is delivered", async (t) => {
  const gateway = await makeGateway(t);
  const reconciler = gateway.reconcile();
  await waitFor("Redis has no room for more", () => reconciler.left > 0, limitMs);
  const scheduled = many - reconciler.left;
  assert.ok(scheduled >= many / 10 && scheduled <= many / 2, `${scheduled} are scheduled`);

  const fresh = await gateway.acceptFresh();
  await gateway.producer.addDeliveries([{ message: fresh, routes: [routeNamed("mx")] }]);
  assert.ok(await gateway.isAhead(fresh.meta.id));
  const ahead = await gateway.ahead();
  assert.ok(ahead <= 201, `it is one of ${ahead}`);
  gateway.deliver();
  await waitFor("all is delivered", () => gateway.delivered.length >= many + 1, limitMs);
  await waitFor("the reconciler knows", () => reconciler.left === 0, limitMs);
  assert.equal(new Set(gateway.delivered).size, many + 1);
  assert.equal(gateway.delivered.length, many + 1);

  assert.deepEqual(
    gateway.lines.filter(({ event }) => event === "pressure.begin"),
    [],
    "no mail was refused",
  );
  assert.equal(gateway.logged(hasNoRoom).length, 1);
  assert.equal(gateway.logged(hasNoRoom)[0]?.messages, many - scheduled);
  assert.equal(gateway.logged(/^Redis had room for all/).length, 1);
  assert.equal(gateway.logged(/^compared the queues/).length, 1);
  // From its place, not from the start again.
  const [first, ...others] = gateway.walks;
  assert.equal(first, undefined);
  assert.ok(others.length > 0);
  const offsets = others.map((after) => after?.locator.offset ?? -1);
  assert.ok(!offsets.includes(-1));
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  );
});

test("what waits in the spool is delivered although Redis is lost, a reconciler dies, and a publisher asks for a scan", async (t) => {
  const gateway = await makeGateway(t);
  const first = gateway.reconcile();
  await waitFor("Redis has no room for more", () => first.left > 0, limitMs);

  await gateway.redis.flush();
  await waitFor("Redis is filled again", async () => (await gateway.waiting()) > many / 10, limitMs);
  await waitFor("there is no room again", () => first.left > 0, limitMs);

  await first.close();
  const second = gateway.reconcile();
  await waitFor("the second one has compared", () => second.left > 0, limitMs);

  // Accepted by a process that was killed before it could enqueue it.
  const fresh = await gateway.acceptFresh();
  await gateway.producer.requestScan();
  await waitFor("it is scheduled, and not behind the others", () => gateway.isAhead(fresh.meta.id), limitMs);
  assert.ok(second.left > 0);

  gateway.deliver();
  // Some twice: workers had them when Redis was lost.
  const all = () => new Set(gateway.delivered).size === many + 1;
  await waitFor("all is delivered", all, limitMs);
  await waitFor("the reconciler knows", () => second.left === 0, limitMs);
  assert.ok(all());
  assert.deepEqual(
    gateway.lines.filter(({ event }) => event === "pressure.begin"),
    [],
  );
});

test("what waits in the spool is delivered although it is moved from file to file meanwhile", async (t) => {
  const gateway = await makeGateway(t, await openFiles(), fewer);
  let moved = 0;
  const { spool } = gateway;
  const collect = spool.collect.bind(spool);
  spool.collect = async () => {
    const report = await collect();
    moved += report.messagesMoved;
    return report;
  };
  const reconciler = gateway.reconcile();
  await waitFor("Redis has no room for more", () => reconciler.left > 0, limitMs);
  await waitFor("what waits is moved", () => moved > 0, limitMs);
  gateway.deliver();
  await waitFor("all is delivered", () => gateway.delivered.length >= fewer, limitMs);
  await waitFor("the reconciler knows", () => reconciler.left === 0, limitMs);
  assert.equal(new Set(gateway.delivered).size, fewer);
  assert.equal(gateway.delivered.length, fewer);
  assert.ok(gateway.walks.some((after) => after?.locator.segment === "own"));
});
