import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import { openBoardQueues } from "../../shared/queue/bullmq/board.ts";
import { consumeBounces, consumeDeliveries } from "../../shared/queue/consumer.ts";
import { createHolds } from "../../shared/queue/holds/store.ts";
import { createInspector } from "../../shared/queue/operator/inspector.ts";
import { createProducer } from "../../shared/queue/producer.ts";
import { createReconciler } from "../../shared/queue/reconcile/reconciler.ts";
import { announceService } from "../../shared/runtime/announcement.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMemorySpool } from "../../shared/spool/memory.ts";
import { testConfig } from "../support/config.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { startStallingRedis } from "../support/stalling-redis.ts";
import { waitFor } from "../support/wait-for.ts";

const directory = mkdtempSync(path.join(tmpdir(), "closing-redis-"));
const log = createLogger("test", { write() {} });
const config = testConfig({});
const unhandled: unknown[] = [];
const noteUnhandled = (reason: unknown) => unhandled.push(reason);
let server: TestRedis;

before(async () => {
  server = await startRedis();
  process.on("unhandledRejection", noteUnhandled);
});
after(async () => {
  process.off("unhandledRejection", noteUnhandled);
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Everything in the product that keeps a connection to Redis. */
interface Client {
  close(): Promise<void>;
}
const clients: Record<string, (redis: { url: string }) => Client> = {
  holds: (redis) => createHolds({ redis, file: path.join(directory, "holds.json"), log, pollMs: 5 }),
  producer(redis) {
    const producer = createProducer(redis, log);
    const timer = setInterval(() => producer.requestScan().catch(() => {}), 2);
    return {
      close() {
        clearInterval(timer);
        return producer.close();
      },
    };
  },
  "delivery consumer": (redis) => {
    const consumer = consumeDeliveries({
      redis,
      log,
      concurrency: 4,
      handle: async () => ({ kind: "done" }),
    });
    return { close: () => consumer.close(0) };
  },
  "bounce consumer": (redis) => {
    const consumer = consumeBounces({
      redis,
      log,
      concurrency: 4,
      aggregationWindowMs: 10,
      handle: async () => ({ kind: "done" }),
    });
    return { close: () => consumer.close(0) };
  },
  reconciler: (redis) =>
    createReconciler({
      spool: createMemorySpool(),
      redis,
      config,
      log,
      timing: { tickMs: 5 },
      summarizeRoute: () => ({ label: "relay mx:example.com", aliases: [] }),
    }),
  limiter(redis) {
    const limiter = createClusterLimiter({ redis, log });
    const timer = setInterval(
      () => void limiter.admitMessage("example.com", { count: 9, periodMs: 60_000 }),
      2,
    );
    return {
      close() {
        clearInterval(timer);
        return limiter.close();
      },
    };
  },
  announcement: (redis) =>
    announceService({
      redis,
      name: "delivery",
      url: null,
      log,
      health: async () => ({ ready: true, reasons: [] }),
    }),
  inspector(redis) {
    const holds = createHolds({ redis, file: path.join(directory, "holds.json"), log });
    const inspector = createInspector({ redis, holds, log });
    inspector.counts().catch(() => {});
    return { close: async () => void (await Promise.all([inspector.close(), holds.close()])) };
  },
  "admin's board": (redis) => openBoardQueues(redis, log),
};

test("closed in the middle of any command, what is still under way is nobody's error", async () => {
  const closeInTheMiddle = async (open: (redis: { url: string }) => Client): Promise<void> => {
    const proxy = await startStallingRedis(server);
    for (let chunks = 0; chunks < 10; chunks++) {
      proxy.reset();
      proxy.stallAfter(chunks);
      const keptBefore = proxy.keptBack;
      const opened = Array.from({ length: 2 }, () => open({ url: proxy.url }));
      // Some have nothing more to say after so many replies: these are closed while idle.
      await waitFor("a reply that is kept back", () => proxy.keptBack > keptBefore, 300).catch(() => {});
      await Promise.all(opened.map((each) => each.close()));
      await nextTurn();
    }
    await proxy.close();
  };
  await Promise.all(Object.values(clients).map(closeInTheMiddle));
  assert.deepEqual(unhandled, []);
});

test("holds that are closed while they subscribe again after an outage leave nothing over", async () => {
  const proxy = await startStallingRedis(server);
  for (let round = 0; round < 10; round++) {
    proxy.reset();
    const holds = createHolds({ redis: { url: proxy.url }, file: path.join(directory, "holds.json"), log });
    await holds.ready;
    proxy.stallAt("subscribe");
    const keptBefore = proxy.keptBack;
    proxy.cutConnections();
    await waitFor("the second subscription", () => proxy.keptBack > keptBefore);
    await holds.close();
    await nextTurn();
  }
  await proxy.close();
  assert.deepEqual(unhandled, []);
});

test("holds hear of changes again after an outage", async () => {
  const proxy = await startStallingRedis(server);
  const file = path.join(directory, "holds.json");
  // Neither polls within this test: the reader hears of a change by its subscription alone.
  const [reader, writer] = [proxy.url, server.url].map((url) =>
    createHolds({ redis: { url }, file, log, pollMs: 600_000 }),
  );
  assert.ok(reader && writer);
  await Promise.all([reader.ready, writer.ready]);
  proxy.cutConnections();
  await waitFor("the reader's connections to be cut", () => proxy.openConnections === 0);
  await waitFor("both subscriptions", async () =>
    /:2\r\n$/.test(await server.command("PUBSUB NUMSUB {postern}:holds:changed")),
  );
  await writer.add([{ kind: "sender", value: "a@example.com", reason: "a test" }]);
  await waitFor("the change to be heard of", () => reader.list().length === 1);
  await Promise.all([reader.close(), writer.close()]);
  await proxy.close();
});
