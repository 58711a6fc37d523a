import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseAfter } from "../../../shared/queue/operator/index-refresher.ts";

test("the pause between two scans grows with the scan, and not without end", () => {
  assert.deepEqual(
    [0, 500, 60_000].map((tookMs) => pauseAfter(tookMs, true)),
    [1_000, 5_000, 20_000],
  );
  assert.deepEqual(
    [0, 500, 60_000].map((tookMs) => pauseAfter(tookMs, false)),
    [2_000, 20_000, 60_000],
  );
});
