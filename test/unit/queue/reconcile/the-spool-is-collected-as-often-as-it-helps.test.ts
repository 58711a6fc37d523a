import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseAfter } from "../../../../shared/queue/reconcile/spool-collector.ts";

const timing = { collectEveryMs: 10_000, collectAtMostMs: 60_000 };
const nothing = { segmentsRemoved: 0, messagesMoved: 0, bytesFreed: 0 };

test("pauses double while nothing is freed, up to the longest", () => {
  assert.equal(pauseAfter(nothing, 10_000, timing), 20_000);
  assert.equal(pauseAfter(nothing, 40_000, timing), 60_000);
});

test("a run that frees or moves something is followed by another one soon", () => {
  assert.equal(pauseAfter({ ...nothing, segmentsRemoved: 1 }, 60_000, timing), 10_000);
  assert.equal(pauseAfter({ ...nothing, messagesMoved: 1 }, 60_000, timing), 10_000);
});
