import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerHistory, DestinationLease } from "../../../shared/limits/destination-lease.ts";

const leaseMs = 15_000;

/** A lease of so many connections, of a limit of four that two processes share, renewed at time 0. */
function leaseOf(connections: number) {
  const lease = new DestinationLease(0);
  lease.learn(4, 2);
  const slots = Array.from({ length: connections }, () => lease.grant(0));
  return { lease, slots };
}

test("a connection that was released is there for the next message, without a question", () => {
  const { lease, slots } = leaseOf(2);
  assert.ok(!lease.hasSpare);
  slots[0]?.release();
  slots[0]?.release();
  assert.ok(lease.hasSpare);
  assert.ok(lease.hasRoom(2) && !lease.hasRoom(1), "released twice counts once");
  lease.use();
  assert.ok(!lease.hasSpare);
});

test("what is above a fair share is for the other processes", () => {
  const { lease, slots } = leaseOf(4);
  assert.ok(lease.exceedsShare);
  slots[0]?.release();
  assert.ok(lease.exceedsShare && !lease.hasSpare);
  slots[1]?.release();
  assert.ok(!lease.exceedsShare && !lease.hasSpare, "it has its two");
  lease.shareWith(1);
  assert.ok(lease.hasSpare, "alone it may have all four");
});

test("connections that close and open again between two sweeps are not given back", () => {
  const { lease, slots } = leaseOf(2);
  lease.beginInterval();
  slots[0]?.release();
  assert.ok(!lease.isDue(100, leaseMs));
  lease.beginInterval();
  const next = lease.use();
  next.release();
  assert.ok(!lease.isDue(200, leaseMs));
  lease.beginInterval();
  assert.ok(lease.isDue(300, leaseMs), "a whole interval without the second");
  assert.deepEqual(lease.report(300), [1, -1, 0]);
});

test("of connections above a fair share none stays", () => {
  const { lease, slots } = leaseOf(4);
  lease.beginInterval();
  slots[0]?.release();
  assert.ok(lease.isDue(100, leaseMs));
  assert.deepEqual(lease.report(100), [3, -1, 0]);
});

test("a connection that is not used again is given back, but not while a request is under way", () => {
  const { lease, slots } = leaseOf(1);
  assert.ok(!lease.isDue(1, leaseMs));
  slots[0]?.release();
  lease.beginInterval();
  assert.ok(lease.isDue(1, leaseMs));
  const ended = lease.ask();
  assert.ok(!lease.isDue(1, leaseMs));
  assert.deepEqual(
    lease.report(1),
    [-1, -1, 0],
    "Redis keeps its own count until the request has its answer",
  );
  ended();
  assert.ok(!lease.isUnused);
  assert.deepEqual(lease.report(2), [0, -1, 0]);
  assert.ok(lease.isUnused);
});

test("one connection is renewed in time; several once a second, and all that there are more often", () => {
  for (const [connections, everyMs] of [
    [1, leaseMs / 3],
    [2, 1000],
    [4, 200],
  ] as const) {
    const { lease } = leaseOf(connections);
    assert.ok(!lease.isDue(everyMs - 1, leaseMs), `${connections}`);
    assert.ok(lease.isDue(everyMs, leaseMs), `${connections}`);
    lease.report(everyMs);
    assert.ok(!lease.isDue(2 * everyMs - 1, leaseMs), `${connections}`);
  }
});

test("how long a message takes is reported as soon as it is known", () => {
  const { lease } = leaseOf(1);
  lease.answers.answered(100, 12.5);
  assert.ok(lease.isDue(101, leaseMs));
  assert.deepEqual(lease.report(150), [1, 50, 13]);
  assert.ok(!lease.isDue(151, leaseMs));
});

test("a process that ends gives back everything", () => {
  const { lease } = leaseOf(3);
  lease.abandon();
  assert.deepEqual(lease.report(1), [0, -1, 0]);
});

test("a destination answers until an attempt after its last answer has failed", () => {
  const answers = new AnswerHistory();
  assert.equal(answers.msSinceAnswer(1000), -1);
  assert.ok(!answers.isAnswering);
  answers.answered(1000, 10);
  assert.ok(answers.isAnswering);
  assert.ok(answers.hasAnsweredSince(1000) && !answers.hasAnsweredSince(1001));
  answers.failed(2000);
  assert.ok(!answers.isAnswering);
  assert.equal(answers.msSinceAnswer(2500), 1500);
});
