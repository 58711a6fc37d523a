import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createProducer, type QueueProducer } from "../../shared/queue/producer.ts";
import { createPublisher } from "../../shared/queue/publisher.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { routeNamed } from "../support/route-named.ts";
import { waitFor } from "../support/wait-for.ts";
import { storedMessage } from "../unit/queue/stored-message.ts";

const lines: string[] = [];
const log = createLogger("test", { write: (line) => lines.push(line) });
let redis: TestRedis;
let producer: QueueProducer;

before(async () => {
  redis = await startRedis("tcp");
  producer = createProducer({ url: redis.url }, log);
});
after(async () => {
  await producer?.close();
  await redis?.close();
});

async function number(command: string): Promise<number> {
  return Number(/\d+/.exec((await redis.command(command)).replace(/^\$\d+/, ""))?.[0] ?? 0);
}

test("mail accepted while Redis is down is enqueued when it is back, each message once, with two log lines", async () => {
  const publisher = createPublisher(producer, log);
  const messages = Array.from({ length: 1200 }, () =>
    storedMessage({ to: ["a@example.org", "b@example.net"] }),
  );
  for (const message of messages.slice(0, 400))
    publisher.publish(message, [routeNamed("mx"), routeNamed("mx")]);
  await waitFor("all are enqueued", () => publisher.backlog === 0);
  await redis.stop();
  for (const message of messages.slice(400)) publisher.publish(message, [routeNamed("mx"), routeNamed("mx")]);
  await waitFor("the outage is noticed", () => lines.some((line) => line.includes("Redis is out of reach")));
  assert.equal(publisher.backlog, 800);
  await redis.restart();
  await waitFor("the backlog is empty", () => publisher.backlog === 0);
  assert.equal(await number("LLEN {postern}:delivery:wait"), 2400);
  await publisher.close(1_000);
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).message),
    ["Redis is out of reach", "Redis is back"],
  );
});

test("adding fails within seconds while Redis is down, and while it does not answer", async () => {
  const add = () => producer.addDeliveries([{ message: storedMessage({}), routes: [routeNamed("mx")] }]);
  await waitFor("it works", () =>
    add().then(
      () => true,
      () => false,
    ),
  );
  redis.freeze();
  const startedMs = Date.now();
  await assert.rejects(add(), { name: "QueueTimeout" });
  assert.ok(Date.now() - startedMs < 30_000);
  redis.thaw();
  await redis.kill();
  await assert.rejects(
    add(),
    (error: Error) => error.name !== "QueueTimeout",
    "at once, since nothing listens",
  );
  await redis.restart();
  await waitFor("it works again", () =>
    add().then(
      () => true,
      () => false,
    ),
  );
});

test("a backlog that outgrows memory drops its oldest messages and asks the reconciler to enqueue them", async () => {
  const publisher = createPublisher(producer, log, { jobs: 10, octets: 2 ** 20 });
  await waitFor(
    "it asked once because it started",
    async () => publisher.backlog === 0 && (await number("GET {postern}:keeper:scans")) > 0,
  );
  const before = await number("GET {postern}:keeper:scans");
  await redis.command("DEL {postern}:delivery:wait");
  await redis.stop();
  const messages = Array.from({ length: 30 }, () => storedMessage({}));
  for (const message of messages) publisher.publish(message, [routeNamed("mx")]);
  assert.ok(publisher.backlog <= 11);
  await redis.restart();
  await waitFor("it asked again", async () => (await number("GET {postern}:keeper:scans")) > before);
  const waiting = await redis.command("LRANGE {postern}:delivery:wait 0 -1");
  assert.ok(waiting.includes(`${messages[29]?.meta.id}-0`), "the newest are enqueued");
  assert.ok(!waiting.includes(`${messages[0]?.meta.id}-0`), "the oldest wait in the spool");
  await publisher.close(1_000);
});

test("closing waits for the backlog until the time limit", async () => {
  const publisher = createPublisher(producer, log);
  await redis.stop();
  publisher.publish(storedMessage({}), [routeNamed("mx")]);
  const startedMs = Date.now();
  await publisher.close(200);
  assert.ok(Date.now() - startedMs < 30_000);
  assert.equal(publisher.backlog, 1);
  await redis.restart();
});
