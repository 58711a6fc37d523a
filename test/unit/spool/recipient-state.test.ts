import assert from "node:assert/strict";
import { test } from "node:test";
import {
  allRecipientsSettled,
  foldEntries,
  isSettled,
  LogicalClock,
  mergeStates,
  type RecipientState,
} from "../../../shared/spool/recipient-state.ts";
import { someDiagnosis } from "../../contract/spool.ts";

const delivered: RecipientState = { kind: "delivered" };
const failed: RecipientState = { kind: "failed", diagnosis: someDiagnosis };

test("a recipient is settled once delivered, bounced or removed; pending, failed and dead ones are not", () => {
  const dead: RecipientState = { kind: "dead", diagnosis: someDiagnosis, atMs: 1 };
  const states: RecipientState[] = [
    delivered,
    { kind: "bounced" },
    { kind: "removed" },
    { kind: "pending" },
    { kind: "pending", warned: true },
    failed,
    dead,
  ];
  assert.deepEqual(states.map(isSettled), [true, true, true, false, false, false, false]);
});

test("a delivered recipient whose sender is still to hear of it is not settled, and nothing makes it undelivered", () => {
  const reply = { code: 250, lines: ["ok"], command: "DOT" as const };
  const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };
  const reported: RecipientState = {
    kind: "delivered",
    success: { kind: "relayed", reply, remote, atMs: 1 },
  };
  assert.ok(!isSettled(reported));
  const entry = (state: RecipientState, timestamp: number) => ({ recipients: [0], state, timestamp });
  const merged = (...states: RecipientState[]) => mergeStates(states.map(entry)).get(0);
  for (const other of [failed, { kind: "pending" } as RecipientState]) {
    assert.deepEqual(merged(reported, other), reported);
    assert.deepEqual(merged(other, reported), reported);
  }
  assert.deepEqual(merged(reported, delivered), delivered);
  assert.deepEqual(merged(delivered, reported), delivered);
});

test("a reroute counts wherever its entry stands, and folding keeps it", () => {
  const entry = (state: RecipientState, timestamp: number) => ({ recipients: [0], state, timestamp });
  const isp = entry({ kind: "pending", via: "isp" }, 1);
  const delay = entry({ kind: "pending", delay: { diagnosis: someDiagnosis, willRetryUntilMs: 9 } }, 2);
  for (const entries of [
    [isp, delay],
    [delay, isp],
  ]) {
    assert.deepEqual(mergeStates(entries).get(0), { ...delay.state, via: "isp" });
    assert.deepEqual(mergeStates(foldEntries(entries)), mergeStates(entries));
  }
  assert.deepEqual(mergeStates([isp, entry({ kind: "failed", diagnosis: someDiagnosis }, 0)]).get(0), failed);
  assert.equal(mergeStates([entry({ kind: "pending", via: "" }, 2), isp]).get(0), undefined);
});

test("a message is settled when every recipient is, an absent recipient being pending", () => {
  assert.ok(allRecipientsSettled(new Map(), 0));
  assert.ok(!allRecipientsSettled(new Map(), 1));
  const first = new Map<number, RecipientState>([[0, delivered]]);
  assert.ok(allRecipientsSettled(first, 1));
  assert.ok(!allRecipientsSettled(first, 2));
  assert.ok(!allRecipientsSettled(new Map<number, RecipientState>([...first, [1, failed]]), 2));
  // A state of a recipient that is not in the envelope counts for no other one.
  assert.ok(!allRecipientsSettled(new Map<number, RecipientState>([...first, [2, delivered]]), 2));
});

test("recipients that were settled a moment ago count with those whose states were read before", () => {
  const states = new Map<number, RecipientState>([
    [0, delivered],
    [1, failed],
  ]);
  assert.ok(allRecipientsSettled(states, 2, [1]));
  assert.ok(allRecipientsSettled(states, 3, [2, 1]));
  assert.ok(!allRecipientsSettled(states, 3, [1]));
});

test("a process' timestamps are later than all that it has seen", () => {
  const clock = new LogicalClock(() => 1000);
  const first = clock.next();
  assert.ok(clock.next() > first);
  clock.observe(5_000_000_000);
  assert.ok(clock.next() > 5_000_000_000);
});
