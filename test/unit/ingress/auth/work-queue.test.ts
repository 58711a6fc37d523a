import assert from "node:assert/strict";
import { test } from "node:test";
import { WorkQueue } from "../../../../services/ingress/auth/work-queue.ts";

test("so many logins are checked at once, so many wait, and one more hears that it is too many", async () => {
  const queue = new WorkQueue({ atOnce: 2, waiting: 1 });
  const gates = [0, 1, 2].map(() => Promise.withResolvers<void>());
  const started: [number, boolean][] = [];
  const work = (index: number) => async (hasWaited: boolean) => {
    started.push([index, hasWaited]);
    await gates[index]?.promise;
    return index;
  };
  const running = [0, 1, 2].map((index) => queue.run(work(index)));
  assert.equal(queue.run(work(3)), undefined);
  assert.deepEqual(started, [
    [0, false],
    [1, false],
  ]);
  gates[1]?.resolve();
  assert.equal(await running[1], 1);
  assert.deepEqual(started.at(-1), [2, true]);
  gates[0]?.resolve();
  gates[2]?.resolve();
  assert.deepEqual(await Promise.all(running), [0, 1, 2]);
});

test("work that fails makes room for the next", async () => {
  const queue = new WorkQueue({ atOnce: 1, waiting: 1 });
  const failing = queue.run(async () => {
    throw new Error("no memory");
  });
  const next = queue.run(async () => "next");
  await assert.rejects(async () => failing, /no memory/);
  assert.equal(await next, "next");
  assert.equal(await queue.run(async () => "another"), "another");
});
