import assert from "node:assert/strict";
import { test } from "node:test";
import { coalesced } from "../../../shared/spool/fs/disk/sequence.ts";

test("a call during a run waits for one run that begins after it, shared by all such calls", async () => {
  let running = 0;
  let begun = 0;
  const run = coalesced(async () => {
    begun++;
    running++;
    assert.equal(running, 1);
    await new Promise(setImmediate);
    running--;
  });
  const first = run();
  const during = [run(), run(), run()];
  await first;
  assert.equal(begun, 1);
  await Promise.all(during);
  assert.equal(begun, 2);
  await run();
  assert.equal(begun, 3);
});

test("a run that fails fails those who waited for it, and no others", async () => {
  let fail = true;
  const run = coalesced(async () => {
    await new Promise(setImmediate);
    if (fail) throw new Error("failed");
  });
  const first = run();
  const second = run();
  await assert.rejects(first);
  fail = false;
  await second;
});
