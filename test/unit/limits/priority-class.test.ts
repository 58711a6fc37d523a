import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BusyJobs,
  connectionsFor,
  connectionsForClient,
  inlineClass,
} from "../../../shared/limits/priority-class.ts";

const fresh = { name: "delivery", jobs: 5, isSlow: false };
const slow = { name: "delivery-slow", jobs: 5, isSlow: true };

test("one destination has half of a class's jobs at most, and what it leaves is there again", () => {
  const [busy, other] = [new BusyJobs(), new BusyJobs()];
  for (let i = 0; i < 3; i++) {
    assert.ok(busy.hasRoom(fresh));
    busy.enter(fresh);
  }
  assert.ok(!busy.hasRoom(fresh));
  assert.ok(other.hasRoom(fresh), "another has its own half");
  assert.ok(busy.hasRoom(slow));
  busy.leave(fresh);
  assert.ok(busy.hasRoom(fresh));
  assert.ok(!busy.hasRoom(fresh, 2));
});

test("jobs without a priority class are not counted", () => {
  const busy = new BusyJobs();
  busy.enter(undefined);
  assert.equal(busy.count(undefined), 0);
  assert.ok(busy.hasRoom(undefined, 1000));
});

test("slow mail may have three quarters of a destination's connections, inline delivery half, and one at least", () => {
  assert.equal(connectionsFor(fresh, 20), 20);
  assert.equal(connectionsFor(undefined, 20), 20);
  assert.equal(connectionsFor(slow, 20), 15);
  assert.equal(connectionsFor(slow, 1), 1);
  assert.equal(connectionsFor(inlineClass, 20), 10);
  assert.equal(connectionsFor(inlineClass, 1), 1);
});

test("one client may have three quarters of the connections of inline delivery, and one at least", () => {
  assert.deepEqual([20, 8, 4, 1].map(connectionsForClient), [8, 3, 2, 1]);
});
