import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bucketsOver,
  noTraffic,
  type RecentTraffic,
  ratePerMinute,
  sessionsPerMinute,
} from "../../../shared/runtime/traffic.ts";

const bucketMs = 10_000;
const startMs = Date.parse("2026-12-01T03:00:00Z");

/** @param accepted  by the age of the bucket: the first is the one that is not over */
function recent(elapsedMs: number, accepted: number[], buckets = 12): RecentTraffic {
  const all = Array.from({ length: buckets + 1 }, (_, age) => ({
    ...noTraffic(),
    atMs: startMs - age * bucketMs,
    isMeasured: true,
    accepted: accepted[age] ?? 0,
    rows: { relay: accepted[age] ?? 0 },
  }));
  return { nowMs: startMs + elapsedMs, buckets: all.reverse() };
}

for (const [name, elapsedMs, accepted, rate] of [
  ["a message that has just been accepted counts at once", 1_000, [1], 1],
  ["a message of a minute ago is about to leave the rate", 9_000, [0, 0, 0, 0, 0, 0, 30], 3],
  ["a message of more than a minute ago counts no more", 9_000, [0, 0, 0, 0, 0, 0, 0, 30], 0],
  ["an even stream has its rate at any moment", 5_000, [5, 10, 10, 10, 10, 10, 10, 10], 60],
] as const) {
  test(name, () => {
    assert.equal(ratePerMinute(recent(elapsedMs, [...accepted]), 1).accepted, rate);
    assert.deepEqual(sessionsPerMinute(recent(elapsedMs, [...accepted]), 1), { relay: rate });
  });
}

test("a history has whole buckets only, oldest first", () => {
  const over = bucketsOver(recent(4_000, [1, 2, 3, 4, 5, 6, 7, 8]), 1);
  assert.deepEqual(
    over.map(({ accepted }) => accepted),
    [7, 6, 5, 4, 3, 2],
  );
});
