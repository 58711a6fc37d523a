import assert from "node:assert/strict";
import { test } from "node:test";
import { Patience } from "../../../shared/runtime/patience.ts";

const beats = (patience: Patience, count: number, isCalm = true) => {
  for (let beat = 0; beat < count; beat++) patience.beat(isCalm);
};

test("each limit that was too short doubles the next, up to eightfold", () => {
  const patience = new Patience();
  const limits = Array.from({ length: 5 }, () => {
    patience.exceeded();
    return patience.of(1_000);
  });
  assert.deepEqual([new Patience().of(1_000), ...limits], [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
});

test("ten calm heartbeats in a row bring the usual limits back", () => {
  const patience = new Patience();
  patience.exceeded();
  beats(patience, 9);
  beats(patience, 1, false);
  beats(patience, 9);
  assert.equal(patience.of(1_000), 2_000);
  beats(patience, 1);
  assert.equal(patience.of(1_000), 1_000);
});
