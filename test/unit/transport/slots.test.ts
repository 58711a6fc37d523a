import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalSlots } from "../../../shared/transport/slots.ts";

const limits = { connections: 2, messagesPerConnection: 100 };

test("a destination has as many slots as its limit, and one that is released is there again", async () => {
  const slots = createLocalSlots(() => 0);
  const first = await slots.take("a", limits);
  assert.ok(first !== undefined);
  assert.ok((await slots.take("a", limits)) !== undefined);
  assert.equal(await slots.take("a", limits), undefined);
  assert.ok((await slots.take("b", limits)) !== undefined, "another destination has its own");
  first.release();
  first.release();
  assert.ok((await slots.take("a", limits)) !== undefined);
  assert.equal(await slots.take("a", limits), undefined, "released twice counts once");
});

test("a rate lets its count through at once, then spreads the rest over the period", async () => {
  let nowMs = 1_000_000;
  const slots = createLocalSlots(() => nowMs);
  const limited = { ...limits, rate: { count: 3, periodMs: 3000 } };
  for (let i = 0; i < 3; i++) assert.equal(await slots.admit("a", limited), 0);
  assert.equal(await slots.admit("a", limited), 1000);
  assert.equal(await slots.admit("a", limited), 1000, "asking costs nothing");
  nowMs += 1000;
  assert.equal(await slots.admit("a", limited), 0);
  assert.equal(await slots.admit("a", limited), 1000);
  nowMs += 10_000;
  for (let i = 0; i < 3; i++) assert.equal(await slots.admit("a", limited), 0);
});
