import assert from "node:assert/strict";
import { test } from "node:test";
import { coalesced, Sequence } from "../../../shared/spool/sequence.ts";

test("calls during a run share one run that begins after it", async () => {
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

test("a run that fails rejects the calls that waited for it, and no others", async () => {
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

test("work in sequence never overlaps, and a failure stops nothing that follows", async () => {
  const sequence = new Sequence();
  const log: string[] = [];
  const work = (name: string, fails = false) =>
    sequence.run(async () => {
      log.push(`${name} begins`);
      await new Promise(setImmediate);
      log.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const results = [work("a"), work("b", true), work("c")];
  await assert.rejects(results[1] ?? Promise.resolve(), /b/);
  await sequence.idle();
  assert.deepEqual(log, ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
  assert.deepEqual(await Promise.all([results[0], results[2]]), ["a", "c"]);
});
