import assert from "node:assert/strict";
import { test } from "node:test";
import { shareUnderWay } from "../../../services/admin/share-under-way.ts";

test("who asks while a call is under way shares its answer, and who asks later gets another", async () => {
  let calls = 0;
  const shared = shareUnderWay(async () => ++calls);
  assert.deepEqual(await Promise.all([shared(), shared()]), [1, 1]);
  assert.equal(await shared(), 2);
});

test("a call that fails fails for all who share it, and not for those who ask later", async () => {
  let fails = true;
  const shared = shareUnderWay(async () => {
    if (fails) throw new Error("no answer");
    return "well";
  });
  const both = await Promise.allSettled([shared(), shared()]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  fails = false;
  assert.equal(await shared(), "well");
});
