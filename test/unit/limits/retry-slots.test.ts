import assert from "node:assert/strict";
import { test } from "node:test";
import { deadDestinationPolicy } from "../../../shared/limits/dead-destinations.ts";
import { QueueShares } from "../../../shared/limits/queue-shares.ts";
import { nextRetrySlot } from "../../../shared/limits/retry-slots.ts";
import { testConfig } from "../../support/config.ts";

const request = { eachMs: 100, earliestMs: 500, horizonMs: 1000 };

test("each in the line gets a time of its own, and nobody comes back at once", () => {
  assert.deepEqual(nextRetrySlot(-9999, request, 0), { delayMs: 600, promisedMs: 600 });
  assert.deepEqual(nextRetrySlot(600, request, 0), { delayMs: 700, promisedMs: 700 });
});

test("beyond the horizon nothing is promised, and who comes back then comes spread", () => {
  assert.deepEqual(nextRetrySlot(1000, request, 0), { delayMs: 1000, promisedMs: 1000 });
  assert.deepEqual(nextRetrySlot(1000, request, 0.5), { delayMs: 1250, promisedMs: 1000 });
});

test("a rate slower than the horizon still promises the next message", () => {
  const slow = { eachMs: 5000, earliestMs: 0, horizonMs: 1000 };
  assert.deepEqual(nextRetrySlot(0, slow, 0), { delayMs: 5000, promisedMs: 5000 });
});

test("one destination has half of a lane at most, and what it leaves is there again", () => {
  const shares = new QueueShares();
  const priorityClass = { name: "delivery", jobs: 5, isSlow: false };
  for (let i = 0; i < 3; i++) {
    assert.ok(shares.hasRoom(priorityClass, "slow.example"));
    shares.enter(priorityClass, "slow.example");
  }
  assert.ok(!shares.hasRoom(priorityClass, "slow.example"));
  assert.ok(shares.hasRoom(priorityClass, "fast.example"), "another has its own half");
  assert.ok(shares.hasRoom({ ...priorityClass, name: "delivery-slow" }, "slow.example"));
  shares.leave(priorityClass, "slow.example");
  assert.ok(shares.hasRoom(priorityClass, "slow.example"));
});

test("silence is remembered for less than a message waits by itself", () => {
  assert.deepEqual(deadDestinationPolicy(testConfig()), { firstMs: 60_000, maxMs: 600_000 });
  const quick = testConfig({ queue: { retry: ["2s", "1m"] } });
  assert.deepEqual(deadDestinationPolicy(quick), { firstMs: 1000, maxMs: 30_000 });
  assert.equal(deadDestinationPolicy(testConfig({ limits: { dead_destination: 0 } })).firstMs, 0);
});
