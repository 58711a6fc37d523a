import assert from "node:assert/strict";
import { test } from "node:test";
import { needsOfUnreadable } from "../../../shared/queue/reconcile/unreadable.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";

const nowMs = 1_800_000_000_000;
const diagnosis: Diagnosis = { status: "5.3.0", class: "local", reason: "damaged", atMs: nowMs };
const locator = { segment: "s", offset: 0, length: 10, checksum: 1 };
const dead = (ageMs: number): RecipientState => ({ kind: "dead", diagnosis, atMs: nowMs - ageMs });

function needs(...states: (RecipientState | undefined)[]) {
  const known = states.flatMap((state, index) => (state === undefined ? [] : [[index, state] as const]));
  const message = { id: "1HZ8C4S30ABCDEFGHJ", locator, states: new Map(known), recipients: states.length };
  const { settlements, isDead } = needsOfUnreadable(message, nowMs, 1000);
  return { settled: settlements.map(({ recipients, state }) => [state.kind, ...recipients]), isDead };
}

test("recipients of a message whose envelope is damaged are dead, unless they are settled", () => {
  const failed: RecipientState = { kind: "failed", diagnosis };
  assert.deepEqual(needs(undefined, { kind: "delivered" }, failed), {
    settled: [["dead", 0, 2]],
    isDead: true,
  });
});

test("dead recipients stay so until their time is over, and are then removed", () => {
  assert.deepEqual(needs(dead(10)), { settled: [], isDead: true });
  assert.deepEqual(needs(dead(2000), dead(10)), { settled: [["removed", 0]], isDead: true });
  assert.deepEqual(needs(dead(2000), dead(2000)), { settled: [["removed", 0, 1]], isDead: false });
});
