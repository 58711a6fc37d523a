import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, test } from "node:test";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import { isEmpty } from "../../shared/queue/bullmq/job-places.ts";
import { removeEmptyQueues } from "../../shared/queue/bullmq/leftovers.ts";
import { createProducer } from "../../shared/queue/producer.ts";
import { ShardForgetter } from "../../shared/queue/reconcile/shard-forgetter.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import {
  claimForEvents,
  forgetShard,
  readPrefixes,
  ShardClaims,
  unclaimedShards,
} from "../../shared/shards/registry.ts";
import { ShardConnections } from "../../shared/shards/shard-connections.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { waitFor } from "../support/wait-for.ts";

const log = createLogger("test", { write() {} });
let redis: TestRedis;
let connections: ShardConnections;

before(async () => {
  redis = await startRedis();
  connections = new ShardConnections({ url: redis.url }, "plain", log);
});
afterEach(() => redis.flush());
after(async () => {
  connections?.disconnect();
  await redis?.close();
});

async function addJob(shard: number): Promise<string> {
  const producer = createProducer({ url: redis.url, shards: 4 }, log);
  const id = makeQueueId(Date.now(), randomBytes(9), shard);
  const locator = { segment: "a", offset: 0, length: 1, checksum: 1 };
  await waitFor("a job to be added", () =>
    producer.addBounce({ version: 1, kind: "failed", id, locator }, 0).then(
      () => true,
      () => false,
    ),
  );
  await producer.close();
  return id;
}

test("where nothing was ever claimed, the queues may be those of a version without shards", async () => {
  const claims = new ShardClaims(connections.global);
  assert.deepEqual(await readPrefixes(connections.global, "queues"), ["{postern}"]);
  await claims.claim(["{postern-1}"]);
  assert.deepEqual((await readPrefixes(connections.global, "queues")).sort(), ["{postern-1}", "{postern}"]);
});

test("who adds a job claims its shard, which is the one that its id names", async () => {
  const id = await addJob(3);
  assert.ok((await readPrefixes(connections.global, "queues")).includes("{postern-3}"));
  assert.match(await redis.command(`EXISTS {postern-3}:bounce:${id}-failed`), /:1/);
});

test("a shard that is claimed again in the meantime is not forgotten", async () => {
  const claims = new ShardClaims(connections.global);
  await claims.claim(["{postern-1}", "{postern-2}"]);
  await redis.command("ZADD {postern}:shards 1 {postern-1} 1 {postern-2}");
  const unclaimed = await unclaimedShards(connections.global, 60_000);
  assert.deepEqual(unclaimed.map(({ prefix }) => prefix).sort(), ["{postern-1}", "{postern-2}"]);
  await new ShardClaims(connections.global).claim(["{postern-1}"]);
  const forgotten = await Promise.all(unclaimed.map((shard) => forgetShard(connections.global, shard)));
  assert.deepEqual(
    unclaimed.filter((_, index) => forgotten[index]).map(({ prefix }) => prefix),
    ["{postern-2}"],
  );
});

test("a former shard is forgotten when its last job has ended, and nothing of it is left", async () => {
  const id = await addJob(2);
  await addJob(0);
  await redis.command("HSET {postern-2}:bounce:meta version bullmq:6");
  await redis.command("ZADD {postern}:shards 1 {postern} 1 {postern-0} 1 {postern-2}");
  const forgetter = new ShardForgetter({ connections, own: 2, afterMs: 0, log });
  await forgetter.forgetIfDue();
  assert.deepEqual(
    await readPrefixes(connections.global, "queues"),
    ["{postern-0}", "{postern-2}"],
    "{postern} had none",
  );
  assert.equal(await isEmpty(connections.of("{postern-2}")), false);
  assert.equal(await removeEmptyQueues(connections.of("{postern-2}")), false);
  assert.match(await redis.command("EXISTS {postern-2}:bounce:meta"), /:1/);

  await redis.command(`LREM {postern-2}:bounce:wait 1 ${id}-failed`);
  await redis.command(`DEL {postern-2}:bounce:${id}-failed`);
  await forgetter.forgetIfDue();
  await forgetter.forgetIfDue();
  assert.deepEqual(
    await readPrefixes(connections.global, "queues"),
    ["{postern-0}"],
    "that of its own configuration stays",
  );
  assert.equal((await redis.command("KEYS {postern-2}*")).trim(), "*0");
});

test("shards with events are known as long as the events are kept", async () => {
  await claimForEvents(connections.global, ["{postern-0}", "{postern-1}"], 60_000);
  await redis.command("ZADD {postern}:shards:events 1 {postern-1}");
  await claimForEvents(connections.global, ["{postern-0}"], 60_000);
  assert.deepEqual((await readPrefixes(connections.global, "events")).sort(), ["{postern-0}", "{postern}"]);
});
