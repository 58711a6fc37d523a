import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedConcurrency } from "../../../shared/queue/bullmq/shared-concurrency.ts";

test("a process works on so many jobs at once over all shards, and each shard gets its turn", async () => {
  const permits = new SharedConcurrency(2);
  const [busy, other, third] = [{}, {}, {}];
  assert.equal(await permits.take(busy), true);
  assert.equal(await permits.take(busy), true);
  assert.equal(permits.isWanted, false);

  const given: string[] = [];
  const waits = [
    permits.take(other).then((isGiven) => given.push(`other ${isGiven}`)),
    permits.take(third).then((isGiven) => given.push(`third ${isGiven}`)),
  ];
  assert.equal(permits.isWanted, true);
  permits.give();
  await waits[0];
  assert.deepEqual(given, ["other true"]);
  permits.give();
  await waits[1];
  assert.deepEqual(given, ["other true", "third true"]);
  assert.equal(permits.isWanted, false);
});

test("a shard that stops waiting for a permit leaves it to the others", async () => {
  const permits = new SharedConcurrency(1);
  const [busy, leaving] = [{}, {}];
  await permits.take(busy);
  const wait = permits.take(leaving);
  permits.cancel(leaving);
  assert.equal(await wait, false);
  permits.give();
  assert.equal(await permits.take(busy), true);
});
