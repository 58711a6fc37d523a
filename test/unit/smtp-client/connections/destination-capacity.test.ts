import assert from "node:assert/strict";
import { test } from "node:test";
import type { SlotAnswer } from "../../../../shared/limits/limiter.ts";
import { createLocalLimiter } from "../../../../shared/limits/local-limiter.ts";
import { DestinationCapacity } from "../../../../shared/smtp-client/connections/destination-capacity.ts";
import { connectionRequest, fresh, slow } from "../../../support/connection-pool.ts";

const limits = { connections: 4, messagesPerConnection: 100 };

function capacityOf(answer?: SlotAnswer) {
  let nowMs = 1_000_000;
  const local = createLocalLimiter({ now: () => nowMs, random: () => 0.5 });
  const limiter = answer === undefined ? local : { ...local, takeSlot: async () => answer };
  const capacity = new DestinationCapacity("example.org", limits, {
    limiter,
    now: () => nowMs,
    epochMs: () => nowMs,
    random: () => 0.5,
  });
  return {
    capacity,
    pass(ms: number) {
      nowMs += ms;
    },
    /** In how many milliseconds a job comes back. */
    async retryInMs() {
      return (await capacity.full("delivery example.org")).retryAtMs - nowMs;
    },
  };
}

test("a priority class has a share of a destination's connections, and no more", () => {
  const { capacity } = capacityOf();
  for (let i = 0; i < 2; i++) capacity.lease({ priorityClass: slow });
  assert.ok(capacity.hasShare(connectionRequest(slow)));
  capacity.lease({ priorityClass: slow });
  assert.ok(!capacity.hasShare(connectionRequest(slow)));
  assert.ok(capacity.hasShare(connectionRequest(fresh)));
  capacity.release({ priorityClass: slow }, 10);
  assert.ok(capacity.hasShare(connectionRequest(slow)));
});

test("a client has its share, and those of its requests count that wait for a slot's answer", async () => {
  const { capacity } = capacityOf({ kind: "slot", slot: { release() {} } });
  const requestOf = (name: string) => connectionRequest(fresh, { client: { name, share: 1 } });
  const answer = capacity.takeSlot(requestOf("192.0.2.1"));
  assert.ok(!capacity.mayOpen(requestOf("192.0.2.1")));
  assert.ok(capacity.mayOpen(requestOf("192.0.2.2")));
  await answer;
  assert.ok(!capacity.hasShare(requestOf("192.0.2.1")));
  capacity.release(requestOf("192.0.2.1"), 10);
  assert.ok(capacity.hasShare(requestOf("192.0.2.1")));
});

test("a destination that has not answered gets five connections at once; the first answer opens it", () => {
  const { capacity } = capacityOf();
  for (let i = 0; i < 5; i++) {
    assert.ok(capacity.mayOpen(connectionRequest(undefined)));
    capacity.lease({ priorityClass: undefined });
  }
  assert.ok(!capacity.mayOpen(connectionRequest(undefined)));
  assert.ok(capacity.reportAnswer());
  assert.ok(capacity.mayOpen(connectionRequest(undefined)));
  assert.ok(!capacity.reportAnswer(), "once");
});

test("one destination gets half of a class's jobs, those included that wait for a slot's answer", async () => {
  const { capacity } = capacityOf({ kind: "full" });
  capacity.reportAnswer();
  const request = connectionRequest({ ...fresh, jobs: 4 }, { share: 100 });
  assert.ok(capacity.mayOpen(request));
  const answers = [capacity.takeSlot(request), capacity.takeSlot(request)];
  assert.ok(!capacity.mayOpen(request));
  await Promise.all(answers);
  assert.ok(capacity.mayOpen(request));
});

test("a slot counts as in use until its connection is closed", async () => {
  const { capacity } = capacityOf();
  const answer = await capacity.takeSlot(connectionRequest(fresh));
  assert.equal(answer.kind, "slot");
  assert.equal(capacity.busy(fresh), 1);
  capacity.release({ priorityClass: fresh }, 10);
  const closed = capacity.close();
  assert.equal(capacity.busy(fresh), 0);
  assert.ok(!capacity.isUnused);
  closed();
  assert.ok(capacity.isUnused);
});

test("a message waits where connections of ours, or of others, come free soon enough", async () => {
  const { capacity } = capacityOf({ kind: "full", busyMs: 100 });
  assert.ok(!capacity.isWorthWaiting(fresh, 0, () => 0), "no process is known to have one");
  await capacity.takeSlot(connectionRequest(fresh));
  assert.ok(
    capacity.isWorthWaiting(fresh, 39, () => 0),
    "of four that others have",
  );
  assert.ok(!capacity.isWorthWaiting(fresh, 40, () => 0));
  assert.ok(!capacity.isWorthWaiting(fresh, 0, () => 5), "half of the jobs wait for it already");
  capacity.lease({ priorityClass: fresh });
  capacity.release({ priorityClass: fresh }, 50);
  capacity.lease({ priorityClass: fresh });
  assert.ok(
    capacity.isWorthWaiting(fresh, 19, () => 9),
    "of the one that we have",
  );
  assert.ok(!capacity.isWorthWaiting(fresh, 20, () => 9));
});

test("jobs of a full destination come back in turn, as fast as its messages went", async () => {
  const { capacity, retryInMs, pass } = capacityOf();
  assert.equal(await retryInMs(), 1000, "it has not answered at all: anywhere in the first second");
  pass(10_000);
  assert.equal(await retryInMs(), 26_000);
  capacity.reportAnswer();
  capacity.lease({ priorityClass: fresh });
  capacity.release({ priorityClass: fresh }, 400);
  assert.equal(await retryInMs(), 600, "a quarter of a message's time after the earliest");
  assert.equal(await retryInMs(), 700);
  for (let i = 0; i < 3; i++) await retryInMs();
  assert.equal(await retryInMs(), 1250, "beyond a second's horizon nothing is promised");
});

test("a wait in vain counts as a slow message, once the destination has answered", async () => {
  const { capacity, retryInMs } = capacityOf();
  capacity.reportVainWait();
  assert.equal(await retryInMs(), 1000, "still unknown");
  capacity.reportAnswer();
  capacity.reportVainWait();
  assert.equal(await retryInMs(), 750, "a quarter of a second each");
});
