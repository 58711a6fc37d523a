import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  chooseShard,
  isQueueId,
  makeQueueId,
  maxShards,
  queueIdTimeMs,
  shardOfId,
} from "../../../shared/mail/queue-id.ts";
import { prefixesOf, prefixOfId } from "../../../shared/shards/shard.ts";

const atMs = 1_764_537_600_000;
const random = new Uint8Array(9).fill(7);

test("the id of a message says where its jobs are, whatever a process is configured with", () => {
  const table: [id: string, shard: number | undefined, prefix: string][] = [
    [makeQueueId(atMs, random), undefined, "{postern}"],
    [makeQueueId(atMs, random, 0), 0, "{postern-0}"],
    [makeQueueId(atMs, random, 3), 3, "{postern-3}"],
    [makeQueueId(atMs, random, maxShards - 1), 31, "{postern-31}"],
    ["1KDX8V5G0777777777", undefined, "{postern}"],
    // What has another form is in no shard.
    ["1KDX8V5G07777777773X", undefined, "{postern}"],
    ["message-1", undefined, "{postern}"],
    ["", undefined, "{postern}"],
  ];
  for (const [id, shard, prefix] of table) {
    assert.equal(shardOfId(id), shard, id);
    assert.equal(prefixOfId(id), prefix, id);
    assert.equal(prefixOfId(`${id}-0`), prefix, "a job");
    assert.equal(prefixOfId(`${id}-failed`), prefix, "a bounce job");
  }
});

test("an id that names a shard is a queue id, sorts by time, and has its time", () => {
  const id = makeQueueId(atMs, random, 2);
  assert.equal(id.length, 19);
  assert.ok(isQueueId(id));
  assert.ok(!isQueueId(`${id}0`));
  assert.equal(queueIdTimeMs(id), atMs);
  assert.ok(id < makeQueueId(atMs + 1, new Uint8Array(9)));
  assert.ok(makeQueueId(atMs, random) < makeQueueId(atMs + 1, random, 0));
});

test("one shard is none, and several get the same share of the mail", () => {
  assert.equal(chooseShard(random, 1), undefined);
  assert.deepEqual(prefixesOf(1), ["{postern}"]);
  assert.deepEqual(prefixesOf(3), ["{postern-0}", "{postern-1}", "{postern-2}"]);
  for (const shards of [2, 3, 7, 32]) {
    const counts = new Map<number, number>();
    for (let n = 0; n < 500 * shards; n++) {
      const shard = chooseShard(randomBytes(9), shards) ?? -1;
      counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }
    assert.deepEqual(
      [...counts.keys()].sort((a, b) => a - b),
      Array.from({ length: shards }, (_, n) => n),
    );
    for (const count of counts.values()) assert.ok(count > 300 && count < 700, `${shards} shards: ${count}`);
  }
});
