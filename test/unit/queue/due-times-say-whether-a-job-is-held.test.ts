import assert from "node:assert/strict";
import { test } from "node:test";
import {
  dueMsOf,
  heldDueMs,
  heldFromMs,
  heldFromScore,
  heldSinceMs,
  scoreOf,
} from "../../../shared/queue/bullmq/due-times.ts";

const nowMs = Date.UTC(2026, 5, 1, 12, 0, 0, 750);

test("a due time is read from its score as it was written, sequence bits or not", () => {
  assert.equal(dueMsOf(scoreOf(nowMs)), nowMs);
  assert.equal(dueMsOf(scoreOf(nowMs) + 4095), nowMs);
});

test("a held job says since when it is held, to the second", () => {
  assert.equal(heldSinceMs(scoreOf(heldDueMs(nowMs))), nowMs - 750);
});

test("a deferred job is not held, however late it is due", () => {
  assert.equal(heldSinceMs(scoreOf(nowMs)), undefined);
  assert.equal(heldSinceMs(scoreOf(heldFromMs - 1)), undefined);
  assert.equal(heldSinceMs(Number.NaN), undefined);
});

test("scores of held jobs are exact until 2039, and later than those of all deferred jobs", () => {
  const lastMs = Date.UTC(2039, 0, 1);
  assert.ok(scoreOf(heldDueMs(lastMs)) < Number.MAX_SAFE_INTEGER);
  assert.ok(scoreOf(heldDueMs(Date.UTC(2020, 0, 1))) >= heldFromScore);
});
