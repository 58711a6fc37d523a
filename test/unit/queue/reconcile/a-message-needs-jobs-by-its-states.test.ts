import assert from "node:assert/strict";
import { test } from "node:test";
import {
  heldSoFarMs,
  jobsMissing,
  jobsOf,
  type Needs,
  needsOf,
  stillMissing,
} from "../../../../shared/queue/reconcile/needs.ts";
import type { RecipientState } from "../../../../shared/spool/recipient-state.ts";
import { busy, storedMessage } from "../stored-message.ts";

const nowMs = 1_700_000_000_000;
const retentionMs = 86_400_000;
/** Two recipients in group 0, one each in groups 1 and 2. */
const message = storedMessage({
  to: ["a@example.org", "b@example.org", "c@example.net", "d@example.com"],
  parts: [[0, 1], [2], [3]],
});
const { id } = message.meta;
const dead = (ageMs: number): RecipientState => ({ kind: "dead", diagnosis: busy, atMs: nowMs - ageMs });
const delivered: RecipientState = { kind: "delivered" };
const failed: RecipientState = { kind: "failed", diagnosis: busy };

function needs(...states: (RecipientState | undefined)[]): Needs {
  const byRecipient = new Map<number, RecipientState>();
  states.forEach((state, recipient) => {
    if (state !== undefined) byRecipient.set(recipient, state);
  });
  return needsOf(message, byRecipient, nowMs, retentionMs);
}

test("a message of which nothing is settled needs a delivery job for each recipient group", () => {
  const { states, ...rest } = needs();
  assert.deepEqual(rest, { message, groups: [0, 1, 2], bounces: [], dead: [], expired: [] });
  assert.equal(states.size, 0);
});

test("a group needs no job when all of its recipients are settled, and one while any is pending", () => {
  assert.deepEqual(needs(delivered, delivered, { kind: "bounced" }, { kind: "removed" }).groups, []);
  assert.deepEqual(needs(delivered, undefined, delivered, delivered).groups, [0]);
});

test("failures need one notification for the whole message, and no delivery job", () => {
  const found = needs(failed, failed, failed, delivered);
  assert.deepEqual([found.groups, found.bounces], [[], ["failed"]]);
});

test("a delay needs a warning until its sender has one, and the delivery goes on", () => {
  const delay = { diagnosis: busy, willRetryUntilMs: nowMs };
  const late = needs({ kind: "pending", delay }, delivered, { kind: "pending", warned: true }, delivered);
  assert.deepEqual([late.groups, late.bounces], [[0, 1], ["delayed"]]);
  assert.deepEqual(needs({ kind: "pending", warned: true }).bounces, []);
});

test("a dead recipient needs its dead job until its time is over", () => {
  const found = needs(delivered, delivered, dead(retentionMs), dead(retentionMs + 1));
  assert.deepEqual(
    found.dead.map(({ group, cause }) => [group, cause.atMs]),
    [[1, nowMs - retentionMs]],
  );
  assert.deepEqual(found.expired, [{ group: 2, recipients: [3] }]);
});

test("one dead recipient whose time is not over keeps its group's job", () => {
  const found = needs(dead(retentionMs + 1), dead(0), delivered, delivered);
  assert.deepEqual([found.dead.length, found.expired], [1, []]);
});

test("the jobs to look for have the ids that workers and services give them", () => {
  const found = needs(undefined, delivered, failed, dead(0));
  assert.deepEqual(jobsOf(found), [
    { queue: "delivery", jobId: `${id}-0` },
    { queue: "bounce", jobId: `${id}-failed` },
    { queue: "dead", jobId: `${id}-2` },
  ]);
});

test("only what has no job is missing, and messages that lack nothing are left out", () => {
  const first = needs(undefined, undefined, failed, dead(0));
  const second = needs(delivered, delivered, undefined, delivered);
  assert.deepEqual(jobsMissing([first, second], [false, true, false, true]), [{ ...first, bounces: [] }]);
  assert.deepEqual(jobsMissing([first, second], [true, true, true, false]), [second]);
});

test("a job that ended between the look for it and the look at the states is not missing", () => {
  const missing = needs(undefined, undefined, undefined, undefined);
  const now = needs(delivered, delivered, undefined, failed);
  const left = stillMissing(missing, now);
  assert.deepEqual([left.groups, left.bounces], [[1], []], "nor is a report that nobody has looked for");
});

test("a dead job that is missing is made with the newest state", () => {
  const missing = needs(delivered, delivered, delivered, dead(5_000));
  const left = stillMissing(missing, needs(delivered, delivered, dead(0), dead(1_000)));
  assert.deepEqual(
    left.dead.map(({ group, cause }) => [group, cause.atMs]),
    [[2, nowMs - 1_000]],
  );
});

test("a message whose job is lost was held since its rule stands, or since it was received", () => {
  const rule = { kind: "all" as const, value: "", reason: "", createdAtMs: nowMs - 10_000 };
  assert.equal(heldSoFarMs(undefined, nowMs - 60_000, nowMs), 0);
  assert.equal(heldSoFarMs(rule, nowMs - 60_000, nowMs), 10_000);
  assert.equal(heldSoFarMs(rule, nowMs - 4_000, nowMs), 4_000);
  assert.equal(heldSoFarMs(rule, nowMs + 4_000, nowMs), 0);
});
