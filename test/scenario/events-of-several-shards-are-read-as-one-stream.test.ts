import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { createShardedEventReader } from "../../shared/events/stream/sharded-reader.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { readPrefixes } from "../../shared/shards/registry.ts";
import { prefixesOf } from "../../shared/shards/shard.ts";
import { ShardConnections } from "../../shared/shards/shard-connections.ts";
import { startRedis } from "../support/redis.ts";
import { waitFor } from "../support/wait-for.ts";

const log = createLogger("test", { write() {} });
const count = 30;

async function startShards(t: TestContext) {
  const redis = await startRedis();
  const publisher = createEventPublisher({
    redis: { url: redis.url, shards: 3 },
    log,
    events: { keep: 3_600_000, max: 1_000_000 },
    intervalMs: 1,
  });
  const connections = new ShardConnections({ url: redis.url }, "plain", log);
  t.after(async () => {
    await publisher.close();
    connections.disconnect();
    await redis.close();
  });
  const reader = createShardedEventReader({ all: prefixesOf(3).map((prefix) => connections.of(prefix)) });
  return { redis, publisher, connections, reader };
}

test("events of several shards are found, listed and followed as one stream, each once", async (t) => {
  const { redis, publisher, connections, reader } = await startShards(t);
  const start = await reader.lastId();
  for (let number = 0; number < count; number++) {
    publisher.add({ event: "delivery.delivered", id: `M${number}`, to: "bob@example.com" });
    // A batch each, and so a shard each.
    await waitFor(`event ${number}`, async () => (await reader.find(`M${number}`, 10)).length === 1);
  }
  for (const prefix of prefixesOf(3))
    assert.match(await redis.command(`EXISTS ${prefix}:events`), /:1/, `${prefix} has some of them`);
  assert.ok((await readPrefixes(connections.global, "events")).includes("{postern-2}"));

  const inOrder = Array.from({ length: count }, (_, number) => `M${number}`);
  assert.deepEqual(
    (await reader.find("bob@example.com", 100)).map(({ id }) => id),
    inOrder,
  );
  assert.deepEqual(
    (await reader.find("bob@example.com", 4)).map(({ id }) => id),
    inOrder.slice(-4),
    "the latest",
  );

  const back: (string | undefined)[] = [];
  for (let place: string | undefined, page = await reader.before(undefined, 7); page.length > 0; ) {
    back.push(...page.map(({ id }) => id));
    place = page.at(-1)?.eventId;
    page = await reader.before(place, 7);
  }
  assert.deepEqual(back, inOrder.toReversed());

  for (const from of [start, "0"]) {
    const ahead: (string | undefined)[] = [];
    let place = from;
    await waitFor(`all events from ${from} on`, async () => {
      const page = await reader.after(place, 7);
      ahead.push(...page.map(({ id }) => id));
      place = page.at(-1)?.eventId ?? place;
      return ahead.length >= count;
    });
    assert.deepEqual(ahead, inOrder);
  }
});
