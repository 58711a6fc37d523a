import assert from "node:assert/strict";
import { test } from "node:test";
import { growEveryMs, learntLimit, shrink } from "../../../shared/limits/learnt-limit.ts";

test("as many refusals as a server has connections too many bring it to what it bears", () => {
  let learnt = shrink(undefined, 20, 20, 0);
  for (let refused = 1; refused < 10; refused++) learnt = shrink(learnt, 20, 20, 0);
  assert.equal(learntLimit(learnt, 20, 0), 10);
});

test("it gets one connection more in each half minute, and never more than is configured", () => {
  const learnt = shrink(undefined, 20, 5, 1000);
  assert.equal(learntLimit(learnt, 20, 1000), 4);
  assert.equal(learntLimit(learnt, 20, 1000 + growEveryMs - 1), 4);
  assert.equal(learntLimit(learnt, 20, 1000 + 3 * growEveryMs), 7);
  assert.equal(learntLimit(learnt, 20, 1000 + 99 * growEveryMs), 20);
  assert.equal(learntLimit(learnt, 20, 0), 4, "a clock that was set back changes nothing");
});

test("a refusal where there is no other connection says nothing about their number", () => {
  assert.equal(shrink(undefined, 20, 1, 0), undefined);
  assert.equal(learntLimit(undefined, 20, 0), 20);
});

test("one connection is always left", () => {
  assert.equal(learntLimit(shrink({ connections: 1, atMs: 0 }, 20, 3, 0), 20, 0), 1);
});
