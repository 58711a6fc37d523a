import assert from "node:assert/strict";
import { test } from "node:test";
import { leavesRoom, Paces, slowAfterMs } from "../../../../shared/smtp-client/connections/paces.ts";

test("slow destinations have half of a priority class, unknown ones a quarter more, and quick ones what they need", () => {
  const eight = { jobs: 8 };
  assert.ok(leavesRoom("slow", eight, { slow: 3, unknown: 0 }));
  assert.ok(!leavesRoom("slow", eight, { slow: 4, unknown: 0 }));
  assert.ok(leavesRoom("unknown", eight, { slow: 4, unknown: 1 }));
  assert.ok(!leavesRoom("unknown", eight, { slow: 4, unknown: 2 }));
  assert.ok(!leavesRoom("unknown", eight, { slow: 0, unknown: 6 }), "all of them may be slow");
  assert.ok(leavesRoom("quick", eight, { slow: 4, unknown: 4 }));
  for (const pace of ["slow", "unknown"] as const)
    assert.ok(leavesRoom(pace, { jobs: 1 }, { slow: 0, unknown: 0 }), "one attempt is always possible");
});

test("a destination is as quick as its last attempt, for ten minutes", () => {
  const paces = new Paces();
  assert.equal(paces.of("a", 0), "unknown");
  paces.observe("a", 100, 0);
  assert.equal(paces.of("a", 600_000), "quick");
  assert.equal(paces.of("a", 600_001), "unknown");
  paces.observe("a", slowAfterMs + 1, 700_000);
  assert.equal(paces.of("a", 700_000), "slow");
});
