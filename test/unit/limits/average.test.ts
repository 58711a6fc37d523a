import assert from "node:assert/strict";
import { test } from "node:test";
import { Average } from "../../../shared/limits/average.ts";

test("an average is unknown at first, then follows what is observed, the newest by a fifth", () => {
  const average = new Average();
  assert.equal(average.value, undefined);
  average.observe(100);
  assert.equal(average.value, 100);
  average.observe(200);
  assert.equal(average.value, 120);
  for (let i = 0; i < 100; i++) average.observe(0);
  assert.ok((average.value ?? 1) < 0.001);
});
