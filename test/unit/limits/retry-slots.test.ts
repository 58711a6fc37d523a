import assert from "node:assert/strict";
import { test } from "node:test";
import { silencePolicy } from "../../../shared/limits/dead-destinations.ts";
import { LaneShares } from "../../../shared/limits/queue-shares.ts";
import { nextTurn } from "../../../shared/limits/retry-slots.ts";
import { testConfig } from "../../support/config.ts";

const request = { eachMs: 100, earliestMs: 500, horizonMs: 1000 };

test("each in the line gets a time of its own, and nobody comes back at once", () => {
  assert.deepEqual(nextTurn(-9999, request, 0), { delayMs: 600, promisedMs: 600 });
  assert.deepEqual(nextTurn(600, request, 0), { delayMs: 700, promisedMs: 700 });
});

test("beyond the horizon nothing is promised, and who comes back then comes spread", () => {
  assert.deepEqual(nextTurn(1000, request, 0), { delayMs: 1000, promisedMs: 1000 });
  assert.deepEqual(nextTurn(1000, request, 0.5), { delayMs: 1250, promisedMs: 1000 });
});

test("a rate slower than the horizon still promises the next message", () => {
  const slow = { eachMs: 5000, earliestMs: 0, horizonMs: 1000 };
  assert.deepEqual(nextTurn(0, slow, 0), { delayMs: 5000, promisedMs: 5000 });
});

test("one destination has half of a lane at most, and what it leaves is there again", () => {
  const shares = new LaneShares();
  const lane = { name: "delivery", jobs: 5, isSlow: false };
  for (let i = 0; i < 3; i++) {
    assert.ok(shares.hasRoom(lane, "slow.example"));
    shares.enter(lane, "slow.example");
  }
  assert.ok(!shares.hasRoom(lane, "slow.example"));
  assert.ok(shares.hasRoom(lane, "fast.example"), "another has its own half");
  assert.ok(shares.hasRoom({ ...lane, name: "delivery-slow" }, "slow.example"));
  shares.leave(lane, "slow.example");
  assert.ok(shares.hasRoom(lane, "slow.example"));
});

test("silence is remembered for less than a message waits by itself", () => {
  assert.deepEqual(silencePolicy(testConfig()), { firstMs: 60_000, mostMs: 600_000 });
  const quick = testConfig({ queue: { retry: ["2s", "1m"] } });
  assert.deepEqual(silencePolicy(quick), { firstMs: 1000, mostMs: 30_000 });
  assert.equal(silencePolicy(testConfig({ limits: { dead_destination: 0 } })).firstMs, 0);
});
