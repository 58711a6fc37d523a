import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalSlots, type Slot, type Taken } from "../../../shared/limits/slots.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";

const wish = (destination: string) => ({ destination, connections: 2, path: `mx ${destination}` });
const refused: Diagnosis = { status: "4.4.1", class: "connect", reason: "connection refused", atMs: 1 };

function slotOf(taken: Taken): Slot {
  assert.ok(taken.kind === "slot");
  return taken.slot;
}

test("a destination has as many slots as its limit, and one that is released is there again", () => {
  const slots = createLocalSlots({ now: () => 0 });
  const first = slotOf(slots.take(wish("a")));
  assert.equal(slots.take(wish("a")).kind, "slot");
  assert.equal(slots.take(wish("a")).kind, "full");
  assert.equal(slots.take(wish("b")).kind, "slot", "another destination has its own");
  first.release();
  first.release();
  assert.equal(slots.take(wish("a")).kind, "slot");
  assert.equal(slots.take(wish("a")).kind, "full", "released twice counts once");
});

test("a rate lets its count through at once, then spreads the rest over the period", () => {
  let nowMs = 1_000_000;
  const slots = createLocalSlots({ now: () => nowMs });
  const rate = { count: 3, periodMs: 3000 };
  for (let i = 0; i < 3; i++) assert.equal(slots.admit("a", rate), 0);
  assert.equal(slots.admit("a", rate), 1000);
  assert.equal(slots.admit("a", rate), 1000, "asking costs nothing");
  nowMs += 1000;
  assert.equal(slots.admit("a", rate), 0);
  assert.equal(slots.admit("a", rate), 1000);
  slots.refund("a", rate);
  assert.equal(slots.admit("a", rate), 0, "what was not sent is given back");
  nowMs += 10_000;
  for (let i = 0; i < 3; i++) assert.equal(slots.admit("a", rate), 0);
});

test("a destination that does not answer is probed once in an interval, which grows to its bound", () => {
  let nowMs = 1_000_000;
  const slots = createLocalSlots({
    now: () => nowMs,
    deadDestinations: { firstMs: 60_000, mostMs: 100_000 },
  });
  const probe = () => slotOf(slots.take(wish("a"))).release();
  probe();
  slots.unanswered("a", "mx a", refused, nowMs);
  for (const intervalMs of [60_000, 100_000, 100_000]) {
    nowMs += intervalMs - 1;
    assert.deepEqual(slots.take(wish("a")), { kind: "silent", diagnosis: refused });
    slotOf(slots.take(wish("b"))).release();
    nowMs += 1;
    probe();
    assert.equal(slots.take(wish("a")).kind, "silent", "one asks, the others wait for what it finds out");
    nowMs += 10;
    slots.unanswered("a", "mx a", refused, nowMs - 5);
  }
  assert.equal(
    slots.take({ ...wish("a"), ignoreDeadCache: true }).kind,
    "slot",
    "a last attempt is a real one",
  );
  slots.answered("a", "mx a", 10);
  assert.equal(slots.take(wish("a")).kind, "slot", "the first answer ends it");
});

test("attempts that were under way together are one probe", () => {
  let nowMs = 1_000_000;
  const slots = createLocalSlots({
    now: () => nowMs,
    deadDestinations: { firstMs: 60_000, mostMs: 600_000 },
  });
  for (let i = 0; i < 5; i++) slots.unanswered("a", "mx a", refused, nowMs - 30_000);
  nowMs += 60_000;
  assert.equal(slots.take(wish("a")).kind, "slot");
});

test("a time-out while others get through does not make a destination dead", () => {
  let nowMs = 1_000_000;
  const slots = createLocalSlots({
    now: () => nowMs,
    deadDestinations: { firstMs: 60_000, mostMs: 600_000 },
  });
  slots.take(wish("a"));
  nowMs += 20_000;
  slots.answered("a", "mx a", 10);
  nowMs += 10_000;
  slots.unanswered("a", "mx a", refused, nowMs - 30_000);
  assert.equal(slots.take(wish("a")).kind, "slot");
});
