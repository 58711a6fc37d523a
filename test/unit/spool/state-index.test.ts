import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import { foldEntries, LogicalClock, type StatusEntry } from "../../../shared/spool/recipient-state.ts";
import { StateIndex } from "../../../shared/spool/state-index.ts";
import { someDiagnosis } from "../../contract/spool.ts";

const kinds: RecipientState[] = [
  { kind: "pending" },
  { kind: "delivered" },
  { kind: "removed" },
  { kind: "bounced" },
  { kind: "failed", diagnosis: someDiagnosis },
  { kind: "dead", diagnosis: someDiagnosis, atMs: 1 },
  { kind: "pending", delay: { diagnosis: someDiagnosis, willRetryUntilMs: 1 } },
  { kind: "pending", warned: true },
];

const newIndex = () => new StateIndex(new LogicalClock(() => 0));

/** A small deterministic generator (Park and Miller), so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

test("settlements mean the same whatever order they are read in, folded or not", () => {
  for (let seed = 1; seed < 200; seed++) {
    const random = generator(seed);
    const statusEntries: StatusEntry[] = Array.from({ length: 1 + random(30) }, (_, n) => ({
      recipients: Array.from({ length: 1 + random(3) }, () => random(4)),
      state: kinds[random(kinds.length)] ?? { kind: "pending" },
      timestamp: n,
    }));
    const shuffled = statusEntries
      .map((statusEntry) => ({ statusEntry, at: random(1000) }))
      .sort((a, b) => a.at - b.at)
      .map(({ statusEntry }) => statusEntry);
    const half = Math.floor(statusEntries.length / 2);
    const orders = [
      statusEntries,
      shuffled,
      [...foldEntries(shuffled.slice(half)), ...shuffled.slice(0, half)],
      [...statusEntries, ...shuffled],
    ];
    const results = orders.map((order) => {
      const index = newIndex();
      for (const statusEntry of order) index.apply("M", statusEntry, "log");
      return { states: index.states("M"), settled: [1, 2, 3, 4].map((count) => index.isSettled("M", count)) };
    });
    for (const result of results) assert.deepEqual(result, results[0], `seed ${seed}`);
  }
});

test("what is settled is not owed again, and what is not may become so again", () => {
  const index = newIndex();
  const statusEntry = (recipient: number, kind: number, timestamp: number): void =>
    index.apply(
      "M",
      { recipients: [recipient], state: kinds[kind] ?? { kind: "pending" }, timestamp },
      "log",
    );
  statusEntry(0, 1, 1);
  statusEntry(0, 0, 2);
  statusEntry(0, 5, 3);
  statusEntry(1, 5, 1);
  statusEntry(1, 0, 2);
  statusEntry(2, 4, 2);
  statusEntry(2, 3, 1);
  const states = [...index.states("M").values()].map(({ kind }) => kind);
  assert.deepEqual(states, ["delivered", "pending", "bounced"]);
});

test("that a sender was warned ends what is owed of a delay, and never a failure that came in between", () => {
  const index = newIndex();
  const statusEntry = (recipient: number, kind: number, timestamp: number): void =>
    index.apply(
      "M",
      { recipients: [recipient], state: kinds[kind] ?? { kind: "pending" }, timestamp },
      "log",
    );
  statusEntry(0, 6, 1);
  statusEntry(0, 7, 2);
  for (const [recipient, end] of [1, 4, 5].entries()) {
    statusEntry(recipient + 1, 6, 1);
    statusEntry(recipient + 1, end, 2);
    statusEntry(recipient + 1, 7, 3);
  }
  statusEntry(4, 7, 1);
  statusEntry(4, 0, 2);
  assert.deepEqual(
    [...index.states("M").values()],
    [7, 1, 4, 5, 0].map((kind) => kinds[kind]),
  );
});

test("what one log said is forgotten with it, unless another says it too", () => {
  const index = newIndex();
  const statusEntry: StatusEntry = { recipients: [0], state: { kind: "delivered" }, timestamp: 1 };
  index.apply("both", statusEntry, "a");
  index.apply("both", statusEntry, "b");
  index.apply("twice", statusEntry, "a");
  index.apply("twice", statusEntry, "a");
  index.dropSource("a");
  assert.ok(index.isSettled("both", 1));
  assert.ok(!index.isSettled("twice", 1));
  assert.equal(index.size, 1);
  index.dropSource("b");
  assert.equal(index.size, 0);
});

test("a message without recipients owes nothing, one with more than were settled does", () => {
  const index = newIndex();
  assert.ok(index.isSettled("none", 0));
  assert.ok(!index.isSettled("some", 1));
  index.apply("some", { recipients: [0], state: { kind: "delivered" }, timestamp: 1 }, "a");
  assert.ok(index.isSettled("some", 1));
  assert.ok(!index.isSettled("some", 2));
});
