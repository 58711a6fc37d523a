import assert from "node:assert/strict";
import { test } from "node:test";
import { LocalRetrySlots, nextRetrySlot } from "../../../shared/limits/retry-slots.ts";

const request = { eachMs: 100, earliestMs: 500, horizonMs: 1000 };

test("each job gets a time of its own, and none comes back at once", () => {
  assert.deepEqual(nextRetrySlot(-9999, request, 0), { delayMs: 600, promisedMs: 600 });
  assert.deepEqual(nextRetrySlot(600, request, 0), { delayMs: 700, promisedMs: 700 });
});

test("beyond the horizon no slot is promised, and jobs that come back then come spread", () => {
  assert.deepEqual(nextRetrySlot(1000, request, 0), { delayMs: 1000, promisedMs: 1000 });
  assert.deepEqual(nextRetrySlot(1000, request, 0.5), { delayMs: 1250, promisedMs: 1000 });
});

test("a rate slower than the horizon still promises the next message", () => {
  const slow = { eachMs: 5000, earliestMs: 0, horizonMs: 1000 };
  assert.deepEqual(nextRetrySlot(0, slow, 0), { delayMs: 5000, promisedMs: 5000 });
});

test("each retry queue has slots of its own, and they go on when the time has passed", () => {
  let nowMs = 1_000_000;
  const slots = new LocalRetrySlots(
    () => nowMs,
    () => 0,
  );
  assert.equal(slots.take("a", request), 600);
  assert.equal(slots.take("a", request), 700);
  assert.equal(slots.take("b", request), 600);
  nowMs += 10_000;
  assert.equal(slots.take("a", request), 600);
});
