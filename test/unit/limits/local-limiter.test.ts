import assert from "node:assert/strict";
import { test } from "node:test";
import type { Slot, SlotAnswer } from "../../../shared/limits/limiter.ts";
import { createLocalLimiter } from "../../../shared/limits/local-limiter.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";

const request = (destination: string) => ({
  destination,
  connections: 2,
  reachabilityKey: `mx ${destination}`,
});
const refused: Diagnosis = { status: "4.4.1", class: "connect", reason: "connection refused", atMs: 1 };

function slotOf(taken: SlotAnswer): Slot {
  assert.ok(taken.kind === "slot");
  return taken.slot;
}

test("a destination has as many slots as its limit, and one that is released is there again", () => {
  const limiter = createLocalLimiter({ now: () => 0 });
  const first = slotOf(limiter.takeSlot(request("a")));
  assert.equal(limiter.takeSlot(request("a")).kind, "slot");
  assert.equal(limiter.takeSlot(request("a")).kind, "full");
  assert.equal(limiter.takeSlot(request("b")).kind, "slot", "another destination has its own");
  first.release();
  first.release();
  assert.equal(limiter.takeSlot(request("a")).kind, "slot");
  assert.equal(limiter.takeSlot(request("a")).kind, "full", "released twice counts once");
});

test("a rate lets its count through at once, then spreads the rest over the period", () => {
  let nowMs = 1_000_000;
  const limiter = createLocalLimiter({ now: () => nowMs });
  const rate = { count: 3, periodMs: 3000 };
  for (let i = 0; i < 3; i++) assert.equal(limiter.admitMessage("a", rate), 0);
  assert.equal(limiter.admitMessage("a", rate), 1000);
  assert.equal(limiter.admitMessage("a", rate), 1000, "asking costs nothing");
  nowMs += 1000;
  assert.equal(limiter.admitMessage("a", rate), 0);
  assert.equal(limiter.admitMessage("a", rate), 1000);
  limiter.refundMessage("a", rate);
  assert.equal(limiter.admitMessage("a", rate), 0, "what was not sent is given back");
  nowMs += 10_000;
  for (let i = 0; i < 3; i++) assert.equal(limiter.admitMessage("a", rate), 0);
});

test("all of a rate goes at once at any fraction of a millisecond", () => {
  for (let fraction = 0; fraction < 1; fraction += 0.001) {
    const limiter = createLocalLimiter({ now: () => 123_456 + fraction });
    const rate = { count: 7, periodMs: 60_000 };
    for (let i = 0; i < 7; i++) assert.equal(limiter.admitMessage("a", rate), 0, `${fraction}`);
    assert.ok(limiter.admitMessage("a", rate) > 8571);
  }
});

test("a burst goes at once, then one message in each share of the period", () => {
  let nowMs = 1_000_000;
  const limiter = createLocalLimiter({ now: () => nowMs });
  const rate = { count: 10, periodMs: 10_000, burst: 2 };
  assert.deepEqual(
    [1, 2, 3].map(() => limiter.admitMessage("a", rate)),
    [0, 0, 1000],
  );
  nowMs += 1000;
  assert.deepEqual(
    [1, 2].map(() => limiter.admitMessage("a", rate)),
    [0, 1000],
  );
  nowMs += 60_000;
  assert.deepEqual(
    [1, 2, 3].map(() => limiter.admitMessage("a", rate)),
    [0, 0, 1000],
  );
});

test("a destination that does not answer is probed once in an interval, which grows to its bound", () => {
  let nowMs = 1_000_000;
  const limiter = createLocalLimiter({
    now: () => nowMs,
    deadDestinations: { firstMs: 60_000, maxMs: 100_000 },
  });
  const probe = () => slotOf(limiter.takeSlot(request("a"))).release();
  probe();
  limiter.reportNoAnswer("a", "mx a", refused, nowMs);
  for (const intervalMs of [60_000, 100_000, 100_000]) {
    nowMs += intervalMs - 1;
    assert.deepEqual(limiter.takeSlot(request("a")), { kind: "dead", diagnosis: refused });
    slotOf(limiter.takeSlot(request("b"))).release();
    nowMs += 1;
    probe();
    assert.equal(
      limiter.takeSlot(request("a")).kind,
      "dead",
      "one attempt is the probe, the others wait for its result",
    );
    nowMs += 10;
    limiter.reportNoAnswer("a", "mx a", refused, nowMs - 5);
  }
  assert.equal(
    limiter.takeSlot({ ...request("a"), ignoreDeadCache: true }).kind,
    "slot",
    "a last attempt is a real one",
  );
  limiter.reportAnswer("a", "mx a", 10);
  assert.equal(limiter.takeSlot(request("a")).kind, "slot", "the first answer ends it");
});

test("attempts that were under way together are one probe", () => {
  let nowMs = 1_000_000;
  const limiter = createLocalLimiter({
    now: () => nowMs,
    deadDestinations: { firstMs: 60_000, maxMs: 600_000 },
  });
  for (let i = 0; i < 5; i++) limiter.reportNoAnswer("a", "mx a", refused, nowMs - 30_000);
  nowMs += 60_000;
  assert.equal(limiter.takeSlot(request("a")).kind, "slot");
});

test("a time-out while others get through does not make a destination dead", () => {
  let nowMs = 1_000_000;
  const limiter = createLocalLimiter({
    now: () => nowMs,
    deadDestinations: { firstMs: 60_000, maxMs: 600_000 },
  });
  limiter.takeSlot(request("a"));
  nowMs += 20_000;
  limiter.reportAnswer("a", "mx a", 10);
  nowMs += 10_000;
  limiter.reportNoAnswer("a", "mx a", refused, nowMs - 30_000);
  assert.equal(limiter.takeSlot(request("a")).kind, "slot");
});
