/** No commit waits for ever: each ends with its message on stable storage, or with an error, whatever the disk does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { store } from "../../contract/spool.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const codes = ["EIO", "ENOSPC", "EMFILE", "ENOENT"];

/** A small deterministic generator (Park and Miller), so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

for (const seed of [1, 2, 3, 4, 5]) {
  test(`every commit ends while calls of the disk fail or are late at random (seed ${seed})`, async (t) => {
    const random = generator(seed);
    const disk = faultyFiles();
    const spool = makeSpoolFixture(t).open({
      files: disk.files,
      minFreeBytes: 1,
      largeBytes: 3000,
      segmentBytes: 20_000,
      heartbeatMs: 5,
      slowMs: 1,
    });
    let isWell = false;
    const decide: typeof disk.decide = () => {
      if (isWell) return "do";
      const choice = random(100);
      return choice < 2 ? failure(codes[random(codes.length)] ?? "EIO") : choice < 30 ? "freeze" : "do";
    };
    disk.decide = decide;
    // Late calls end in the order in which they were made, now and then.
    const timer = setInterval(() => {
      disk.thaw();
      disk.decide = decide;
    }, 2);
    t.after(() => clearInterval(timer));
    const commits: Promise<boolean>[] = [];
    for (let turn = 0; turn < 40; turn++) {
      for (let i = random(12); i >= 0; i--)
        commits.push(
          store(spool, "x".repeat(random(6000))).then(
            () => true,
            () => false,
          ),
        );
      await new Promise(setImmediate);
    }
    const ends = await Promise.all(commits);
    t.diagnostic(`${ends.filter((isStored) => isStored).length} of ${ends.length} are stored`);
    isWell = true;
    await store(spool, "the disk is well");
    assert.equal(spool.pressure().failure, undefined);
  });
}
