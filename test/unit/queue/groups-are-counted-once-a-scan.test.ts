import assert from "node:assert/strict";
import { test } from "node:test";
import { perScan } from "../../../shared/queue/operator/per-scan.ts";

function countPasses(state: { asOfMs: number; indexed: number; skipped: number }) {
  let passes = 0;
  return perScan((limit) => `pass ${++passes} for ${limit}`, { state });
}

test("groups of a long queue are counted once for all who ask until the next scan", () => {
  const state = { asOfMs: 1, indexed: 200_000, skipped: 0 };
  const answer = countPasses(state);
  assert.equal(answer(8), "pass 1 for 8");
  assert.equal(answer(8), "pass 1 for 8");
  state.asOfMs = 2;
  assert.equal(answer(8), "pass 2 for 8");
});

test("who asks for another number of groups gets as many", () => {
  const answer = countPasses({ asOfMs: 1, indexed: 200_000, skipped: 0 });
  assert.equal(answer(8), "pass 1 for 8");
  assert.equal(answer(20), "pass 2 for 20");
});

test("a short queue is counted anew for each answer", () => {
  const answer = countPasses({ asOfMs: 1, indexed: 3, skipped: 0 });
  assert.equal(answer(8), "pass 1 for 8");
  assert.equal(answer(8), "pass 2 for 8");
});
