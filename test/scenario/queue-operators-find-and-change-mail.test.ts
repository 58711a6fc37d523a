import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import type { DeliveryJob } from "../../shared/queue/contract/contract.ts";
import { makeDeliveryJob } from "../../shared/queue/contract/delivery-job.ts";
import { createHolds, type Holds } from "../../shared/queue/holds/store.ts";
import { JobChanges } from "../../shared/queue/operator/changes.ts";
import { createInspector, type Inspector } from "../../shared/queue/operator/inspector.ts";
import { jobIdOf, type QueueRow } from "../../shared/queue/operator/rows.ts";
import type { JobFinder } from "../../shared/queue/operator/selection.ts";
import type { QueueProducer } from "../../shared/queue/producer.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { connectedProducer } from "../support/connected-producer.ts";
import { onlyShards } from "../support/only-shard.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { busy, storedMessage } from "../unit/queue/stored-message.ts";

const log = createLogger("test", { write() {} });
const hourMs = 3_600_000;
let redis: TestRedis;
let directory: string;
let producer: QueueProducer;
let holds: Holds;
let inspector: Inspector;

before(async () => {
  redis = await startRedis();
  directory = await mkdtemp(path.join(tmpdir(), "inspector-"));
  producer = await connectedProducer(redis, log);
  holds = createHolds({ redis: { url: redis.url }, file: path.join(directory, "holds.json"), log });
  inspector = createInspector({ redis: { url: redis.url }, holds, log });
  await holds.ready;
});
afterEach(async () => {
  await holds.remove(holds.list().map(({ kind, value }) => `${kind}:${value}`));
  await redis.flush();
});
after(async () => {
  await inspector?.close();
  await holds?.close();
  await producer?.close();
  await redis?.close();
  await rm(directory, { recursive: true, force: true });
});

/** Lets a worker defer everything to an hour from now. */
async function deferAll(jobs: number, queue: "delivery" | "delivery-slow" = "delivery"): Promise<void> {
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 50,
    async handle({ job }) {
      const history = {
        attempts: 2,
        last: [{ recipients: job.to.map((_, index) => index), diagnosis: busy }],
      };
      return {
        kind: "later",
        atMs: Date.now() + hourMs,
        queue,
        history,
        route: routeNamed(`${job.route} mx1.example.org`),
      };
    },
  });
  await waitFor("all are deferred", async () => {
    const { deferred } = (await inspector.counts())[queue];
    return deferred === jobs;
  });
  await consumer.close(1_000);
}

async function add(...messages: StoredMessage[]): Promise<void> {
  await producer.addDeliveries(
    messages.map((message) => ({ message, routes: message.meta.parts.map(() => routeNamed("mx")) })),
  );
}

async function all(filter: Parameters<Inspector["list"]>[0], limit = 1000): Promise<QueueRow[]> {
  const rows: QueueRow[] = [];
  let cursor: string | undefined;
  do {
    const page = await inspector.list(filter, { limit, ...(cursor === undefined ? {} : { cursor }) });
    rows.push(...page.rows);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return rows;
}

test("a message is found by its id however many recipient groups it has, and whichever are left", async () => {
  const to = Array.from({ length: 2100 }, (_, index) => `user${index}@example.org`);
  const message = storedMessage({ to });
  const { id } = message.meta;
  await producer.addGroups(
    [3, 1100, 2099].map((group) => ({ message, group, route: routeNamed("mx"), redelivery: false })),
  );
  const wide = createInspector({ redis: { url: redis.url }, holds, log, maxRecipients: 2100 });
  const jobsFound = await wide.find(id).finally(() => wide.close());
  assert.deepEqual(jobsFound.map(jobIdOf), [`${id}-3`, `${id}-1100`, `${id}-2099`]);
});

test("a row has all that operators need, with times as ISO 8601", async () => {
  const receivedAtMs = Date.now() - 2 * hourMs;
  const message = storedMessage({
    to: ["joe@example.org", "sue@example.org"],
    parts: [[0, 1]],
    receivedAtMs,
  });
  await add(message);
  await deferAll(1);
  const [row] = await all({});
  const dueAtMs = Date.parse(row?.nextAttemptAt ?? "");
  assert.ok(Math.abs(dueAtMs - Date.now() - hourMs) < 120_000);
  assert.deepEqual(row, {
    id: `${message.meta.id}-0`,
    messageId: message.meta.messageId,
    from: "ann@example.com",
    to: ["joe@example.org", "sue@example.org"],
    route: "mx mx1.example.org",
    queue: "delivery",
    status: "deferred",
    attempts: 2,
    nextAttemptAt: new Date(dueAtMs).toISOString(),
    receivedAt: new Date(receivedAtMs).toISOString(),
    size: 2345,
    reason: busy.reason,
  });
});

test("filters narrow the list, alone and together", async () => {
  const old = storedMessage({ to: ["joe@Old.example"], from: "", receivedAtMs: Date.now() - 3 * hourMs });
  const fresh = storedMessage({ to: ["joe@new.example"], from: "bob@example.com" });
  await add(old);
  await deferAll(1);
  await add(fresh);
  const ids = async (filter: Parameters<Inspector["list"]>[0]): Promise<string[]> =>
    (await all(filter)).map(({ id }) => (id.startsWith(old.meta.id) ? "old" : "fresh")).sort();
  assert.deepEqual(await ids({}), ["fresh", "old"]);
  assert.deepEqual(await ids({ to: "*@old.example" }), ["old"]);
  assert.deepEqual(await ids({ to: "joe@*" }), ["fresh", "old"]);
  assert.deepEqual(await ids({ from: "<>" }), ["old"]);
  assert.deepEqual(await ids({ from: "bob@example.com" }), ["fresh"]);
  assert.deepEqual(await ids({ status: "waiting" }), ["fresh"]);
  assert.deepEqual(await ids({ status: "deferred" }), ["old"]);
  assert.deepEqual(await ids({ olderMs: hourMs }), ["old"]);
  assert.deepEqual(await ids({ error: "MAILBOX busy" }), ["old"]);
  assert.deepEqual(await ids({ route: "mx1" }), ["old"]);
  assert.deepEqual(await ids({ queue: "delivery-slow" }), []);
  assert.deepEqual(await ids({ from: "<>", status: "waiting" }), []);
  assert.deepEqual(await ids({ messageId: fresh.meta.messageId ?? "" }), ["fresh"]);
});

test("pages of a long list show every job once, over queues and statuses", async () => {
  const messages = Array.from({ length: 1_300 }, (_, n) => storedMessage({ to: [`r${n}@example.org`] }));
  await add(...messages.slice(0, 600));
  await deferAll(600, "delivery-slow");
  await add(...messages.slice(600));
  const rows = await all({}, 190);
  assert.equal(rows.length, 1_300);
  assert.equal(new Set(rows.map(({ id }) => id)).size, 1_300);
  assert.equal(rows[0]?.to[0], "r600@example.org", "what comes next comes first");
  const counts = await inspector.counts();
  assert.equal(counts.delivery.waiting, 700);
  assert.equal(counts["delivery-slow"].deferred, 600);
  await assert.rejects(inspector.list({}, { limit: 5, cursor: "nonsense" }), { name: "BadCursor" });
});

test("a job is found by its id, its message's queue id, and the Message-ID field", async () => {
  const message = storedMessage({ to: ["a@example.org", "b@example.org", "c@example.org"] });
  await add(message, storedMessage({}));
  const found = async (id: string): Promise<number[]> =>
    (await inspector.find(id)).map(({ job }) => job.part).sort();
  assert.deepEqual(await found(`${message.meta.id}-1`), [1]);
  assert.deepEqual(await found(message.meta.id), [0, 1, 2]);
  assert.deepEqual(await found(message.meta.messageId ?? ""), [0, 1, 2]);
  assert.deepEqual(await found("NOSUCH"), []);
});

test("retry makes deferred mail due now, many at once, and nothing else", async () => {
  const messages = Array.from({ length: 700 }, () => storedMessage({ from: "retry@example.com" }));
  await add(...messages);
  await deferAll(700);
  await add(storedMessage({ from: "other@example.com" }));
  const report = await inspector.retry({ filter: { from: "*@example.com" } });
  assert.deepEqual([report.matched, report.changed, report.skipped.length], [701, 700, 1]);
  assert.equal(report.skipped[0]?.reason, "waits for a worker already");
  const due = await redis.command(`ZCOUNT {postern}:delivery:delayed -inf ${Date.now() * 4096}`);
  assert.equal(due, ":700\r\n");
});

test("a message whose retry fails at once is retried once, although it is met again among the deferred", async (t) => {
  const message = storedMessage({});
  await add(message);
  await deferAll(1);
  let attempts = 0;
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 2,
    async handle({ job }) {
      attempts++;
      const history = { attempts: 3, last: [{ recipients: [0], diagnosis: busy }] };
      const route = routeNamed(job.route);
      return { kind: "later", atMs: Date.now() + hourMs, queue: "delivery-slow", history, route };
    },
  });
  const plain = createRedis({ url: redis.url }, "plain", log);
  t.after(async () => {
    await consumer.close(1_000);
    plain.disconnect();
  });
  const slow = async () => (await inspector.counts())["delivery-slow"].deferred;
  const finder: Pick<JobFinder, "forEach"> = {
    async forEach(_, act) {
      await act(await inspector.find(message.meta.id));
      await waitFor("the attempt has failed", async () => (await slow()) === 1);
      await act(await inspector.find(message.meta.id));
      return [];
    },
  };
  const connections = { global: plain, ofId: onlyShards(plain).of };
  const changes = new JobChanges(connections, holds, finder as JobFinder);
  const { matched, changed, skipped } = await changes.retry({ filter: {} });
  assert.deepEqual({ matched, changed, skipped }, { matched: 1, changed: 1, skipped: [] });
  assert.deepEqual([attempts, await slow()], [1, 1]);
});

test("removing deletes waiting and deferred jobs, and leaves active ones", async () => {
  const messages = Array.from({ length: 30 }, () => storedMessage({}));
  await add(...messages.slice(0, 10));
  await deferAll(10);
  await add(...messages.slice(10));
  const busyId = `${messages[10]?.meta.id}-0`;
  await redis.command("RPOPLPUSH {postern}:delivery:wait {postern}:delivery:active");
  await redis.command(`SET {postern}:delivery:${busyId}:lock token`);
  const report = await inspector.remove({ filter: {} });
  assert.deepEqual([report.matched, report.changed], [30, 29]);
  assert.deepEqual(report.skipped, [{ id: busyId, reason: "is being delivered" }]);
  assert.deepEqual(
    (await all({})).map(({ id }) => id),
    [busyId],
  );
});

test("dead mail is listed, and can be requeued", async () => {
  const message = storedMessage({ from: "" });
  const job = makeDeliveryJob(message, 0, routeNamed("mx"), false) as DeliveryJob & { history?: undefined };
  await producer.addDead({ version: 1, job, reason: "550 5.1.1 no such user", deadAtMs: Date.now() });
  const [row] = await all({ status: "dead" });
  assert.deepEqual([row?.queue, row?.status, row?.reason], ["dead", "dead", "550 5.1.1 no such user"]);
  assert.equal((await inspector.retry({ ids: [message.meta.id] })).changed, 0);
  assert.equal((await inspector.requeue({ ids: [message.meta.id] })).changed, 1);
  assert.deepEqual(
    (await inspector.find(message.meta.id)).map(({ queue, status }) => [queue, status]),
    [["delivery", "waiting"]],
  );
  const [requeued] = await inspector.find(message.meta.id);
  assert.ok(Date.now() - (requeued?.job.revivedAtMs ?? 0) < 60_000, "its time to expire counts from now");
});

test("mail is summed up, sorted and searched, as it is now", async () => {
  const messages = Array.from({ length: 20 }, (_, n) =>
    storedMessage({
      from: `s${n % 2}@example.com`,
      to: [`r${n}@d${n % 4}.example`],
      receivedAtMs: Date.now() - n * 60_000,
    }),
  );
  await add(...messages);
  const destinations = async (filter = {}) =>
    (await inspector.summary(filter, { by: "destination", limit: 3 })).rows.map(({ key, messages }) => [
      key,
      messages,
    ]);
  assert.deepEqual(await destinations(), [
    ["d0.example", 5],
    ["d1.example", 5],
    ["d2.example", 5],
  ]);
  const reasons = async () =>
    (await inspector.summary({}, { by: "reason", limit: 10 })).rows.map(({ key, messages }) => [
      key,
      messages,
    ]);
  assert.deepEqual(await reasons(), [["not tried yet", 20]]);
  await deferAll(20);
  assert.deepEqual(await reasons(), [["451 4.2.1 Mailbox busy, try again later", 20]]);
  await inspector.remove({ filter: { to: "*@d0.example" } });
  assert.deepEqual(await destinations({ from: "s1@*" }), [
    ["d1.example", 5],
    ["d3.example", 5],
  ]);
  const page = await inspector.list({ search: "D1.EXAMPLE" }, { limit: 2, sort: "newest" });
  assert.deepEqual(
    page.rows.map(({ to }) => to[0]),
    ["r1@d1.example", "r5@d1.example"],
  );
  assert.deepEqual([page.totals?.matched, page.totals?.statuses.deferred], [5, 5]);
  assert.equal((await inspector.retry({ filter: { search: "r5@D1" } })).changed, 1);
});

test("of the mail in the queues the oldest of each queue is known", async () => {
  const receivedAtMs = Date.now() - 5 * hourMs;
  await add(storedMessage({ receivedAtMs }), storedMessage({}));
  await inspector.list({}, { limit: 1 });
  assert.deepEqual(inspector.oldest(), { delivery: receivedAtMs });
});

test("queues that are too long for one reading are indexed as a whole", async () => {
  const messages = Array.from({ length: 4_500 }, (_, n) =>
    storedMessage({ to: [`r${n}@d${n % 7}.example`] }),
  );
  await add(...messages.slice(0, 4_400));
  await deferAll(4_400, "delivery-slow");
  await add(...messages.slice(4_400));
  await waitFor("the index", async () => {
    const { total } = await inspector.summary({}, { by: "destination", limit: 1 });
    return total.messages === 4_500;
  });
  // The index follows what has been deferred since.
  await waitFor("all that is deferred", async () => {
    const rows = await all({ status: "deferred" });
    return new Set(rows.map(({ id }) => id)).size === 4_400;
  });
});
