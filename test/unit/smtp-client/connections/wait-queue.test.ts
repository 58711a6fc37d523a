import assert from "node:assert/strict";
import { test } from "node:test";
import type { PriorityClass } from "../../../../shared/limits/queue-shares.ts";
import { hasShare, heirOf, placeOf } from "../../../../shared/smtp-client/connections/wait-queue.ts";

const fresh: PriorityClass = { name: "delivery", jobs: 10, isSlow: false };
const slow: PriorityClass = { name: "delivery-slow", jobs: 10, isSlow: true };
const waits = (priorityClass: PriorityClass | undefined, key = "k") => ({
  request: { key, priorityClass, share: priorityClass?.isSlow === true ? 3 : 4 },
});
/** So many connections that the slow lane has; the others do not count. */
const slowHas = (busy: number) => (priorityClass: PriorityClass | undefined) =>
  priorityClass === slow ? busy : 0;

test("fresh mail stands behind fresh mail, and slow mail behind all", () => {
  const line = [waits(fresh), waits(undefined), waits(slow), waits(slow)];
  assert.equal(placeOf(line, fresh), 2);
  assert.equal(placeOf(line, undefined), 2);
  assert.equal(placeOf(line, slow), 4);
  assert.equal(placeOf([], slow), 0);
});

test("a lane has a part in a destination's connections until it has all of its part", () => {
  assert.ok(hasShare(waits(slow).request, slowHas(2)));
  assert.ok(!hasShare(waits(slow).request, slowHas(3)));
  assert.ok(hasShare(waits(fresh).request, slowHas(3)));
});

test("a session goes to the first of the line that can use it", () => {
  const [other, first, second] = [waits(fresh, "other"), waits(fresh), waits(fresh)];
  assert.equal(heirOf([other, first, second], { key: "k", priorityClass: fresh }, slowHas(0)), first);
  assert.equal(heirOf([other], { key: "k", priorityClass: fresh }, slowHas(0)), undefined);
});

test("slow mail that has no session gets that of a fresh message; with one it waits for fresh mail", () => {
  const [first, last] = [waits(fresh), waits(slow)];
  assert.equal(heirOf([first, last], { key: "k", priorityClass: fresh }, slowHas(0)), last);
  assert.equal(heirOf([first, last], { key: "k", priorityClass: fresh }, slowHas(1)), first);
  assert.equal(
    heirOf([first, last], { key: "k", priorityClass: slow }, slowHas(0)),
    first,
    "turn and turn about",
  );
});

test("slow mail that has all of its part gets no session of a fresh message", () => {
  assert.equal(heirOf([waits(slow)], { key: "k", priorityClass: fresh }, slowHas(3)), undefined);
});
