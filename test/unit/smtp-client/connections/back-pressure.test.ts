import assert from "node:assert/strict";
import { test } from "node:test";
import { isWorthWaiting, retryTime } from "../../../../shared/smtp-client/connections/back-pressure.ts";

const load = {
  connections: 20,
  ours: 20,
  waiting: 0,
  busyMs: 100 as number | undefined,
  othersBusyMs: undefined as number | undefined,
};
const room = () => true;
const noRoom = () => false;

test("a message waits where a connection is likely to come free within a second", () => {
  assert.equal(isWorthWaiting({ ...load, waiting: 199 }, noRoom), true);
  assert.equal(isWorthWaiting({ ...load, waiting: 200 }, noRoom), false);
});

test("a slow destination, one that is not known yet, and one whose connections others have do not fill the priority class", () => {
  for (const change of [
    { busyMs: 1001, connections: 40, ours: 40 },
    { busyMs: undefined },
    { ours: 0, othersBusyMs: 50 },
  ]) {
    assert.equal(isWorthWaiting({ ...load, ...change }, noRoom), false, JSON.stringify(change));
  }
  assert.equal(isWorthWaiting({ ...load, busyMs: undefined, ours: 1, waiting: 30 }, room), true);
  assert.equal(
    isWorthWaiting({ ...load, busyMs: undefined, ours: 0, othersBusyMs: 50, waiting: 30 }, room),
    true,
  );
});

test("where no process is known to have a connection, a message does not wait", () => {
  assert.equal(isWorthWaiting({ ...load, busyMs: undefined, ours: 0 }, room), false);
  assert.equal(isWorthWaiting({ ...load, ours: 0 }, room), false);
});

test("jobs come back as the destination can take them, and no farther ahead than it has been known", () => {
  const slot = { kind: "slot", eachMs: 5, earliestMs: 500 };
  assert.deepEqual(retryTime(load, 0), { ...slot, horizonMs: 1000 });
  assert.deepEqual(retryTime(load, 9000), { ...slot, horizonMs: 10_000 });
  assert.deepEqual(retryTime(load, 3_600_000), { ...slot, horizonMs: 300_000 });
  assert.deepEqual(retryTime({ ...load, busyMs: undefined, othersBusyMs: 100 }, 0), {
    ...slot,
    horizonMs: 1000,
  });
});

test("jobs of a destination that has not answered at all come back ever later, spread", () => {
  const unknown = { ...load, busyMs: undefined };
  assert.deepEqual(retryTime(unknown, 0), { kind: "spread", earliestMs: 500, latestMs: 1500 });
  assert.deepEqual(retryTime(unknown, 10_000), { kind: "spread", earliestMs: 500, latestMs: 51_500 });
  assert.deepEqual(retryTime(unknown, 3_600_000), { kind: "spread", earliestMs: 500, latestMs: 300_500 });
});
