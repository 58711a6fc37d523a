import assert from "node:assert/strict";
import { test } from "node:test";
import { boundedMemoryOf, describeRedisError, memoryWarnings } from "../../../shared/runtime/redis-health.ts";

test("what Redis refuses is told from a Redis that does not answer", () => {
  for (const [message, expected] of [
    ["OOM command not allowed when used memory > 'maxmemory'.", /^Redis is full: /],
    [
      "MISCONF Errors writing to the AOF file: No space left on device",
      /^Redis refuses writes: it cannot write/,
    ],
    ["READONLY You can't write against a read only replica.", /^Redis refuses writes: it is a replica$/],
    ["NOAUTH Authentication required.", /^Redis refuses writes: NOAUTH /],
    ["NOPERM this user has no permissions", /^Redis refuses writes: NOPERM /],
    ["LOADING Redis is loading the dataset in memory", /^Redis refuses writes: LOADING /],
    ["connect ECONNREFUSED 127.0.0.1:6379", /^Redis is out of reach: connect ECONNREFUSED /],
    ["no answer within 800 ms", /^Redis is out of reach: no answer within 800 ms$/],
    ["Connection is closed.", /^Redis is out of reach: Connection is closed\.$/],
  ] as const)
    assert.match(describeRedisError(message), expected);
});

test("an operator is warned before Redis is full, and of a policy that drops the schedule", () => {
  const info = (used: number, limit: number, policy: string) =>
    `# Memory\r\nused_memory:${used}\r\nused_memory_human:1M\r\nmaxmemory:${limit}\r\nmaxmemory_policy:${policy}\r\n`;
  assert.deepEqual(memoryWarnings(info(89, 100, "noeviction")), []);
  assert.deepEqual(memoryWarnings(info(95, 100, "noeviction")), [
    "Redis is nearly full: 95 % of maxmemory are used",
  ]);
  assert.deepEqual(memoryWarnings(info(1, 100, "allkeys-lru")), [
    "Redis may drop parts of the schedule: its maxmemory-policy is allkeys-lru, not noeviction",
  ]);
  // Without a limit nothing is dropped, and nothing can be full.
  assert.deepEqual(memoryWarnings(info(95, 0, "allkeys-lru")), []);
  assert.deepEqual(memoryWarnings(""), []);
});

test("Redis fills up with maxmemory, unless it evicts keys", () => {
  const info = (limit: number, policy: string) =>
    `used_memory:50\r\nmaxmemory:${limit}\r\nmaxmemory_policy:${policy}\r\n`;
  assert.deepEqual(boundedMemoryOf(info(100, "noeviction")), { usedBytes: 50, maxBytes: 100 });
  assert.equal(boundedMemoryOf(info(100, "allkeys-lru")), undefined);
  assert.equal(boundedMemoryOf(info(0, "noeviction")), undefined);
  assert.deepEqual(boundedMemoryOf("used_memory:50\r\nmaxmemory:100\r\n"), { usedBytes: 50, maxBytes: 100 });
  assert.equal(boundedMemoryOf(""), undefined);
});
