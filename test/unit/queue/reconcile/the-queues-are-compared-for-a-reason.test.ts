import assert from "node:assert/strict";
import { test } from "node:test";
import {
  noMemory,
  type Observation,
  type ScanMemory,
  whyScan,
} from "../../../../shared/queue/reconcile/why-scan.ts";

const nowMs = 1_700_000_000_000;
/** A leader that has seen one heartbeat, with nothing amiss since. */
const memory: ScanMemory = {
  heartbeat: "me:1",
  scanRequests: "7",
  epoch: "first",
  nextScanMs: nowMs + 60_000,
};
const calm: Observation = {
  nowMs,
  lease: "renewed",
  heartbeat: "me:2",
  heartbeatBefore: "me:1",
  scanRequests: "7",
  epoch: "first",
  reconnected: false,
};

function reason(seen: Partial<Observation>, before: Partial<ScanMemory> = {}): string | undefined {
  return whyScan({ ...calm, ...seen }, { ...memory, ...before }).reason;
}

test("a leader whose Redis is as it left it does not scan", () => {
  assert.equal(reason({}), undefined);
});

test("another epoch means that Redis was emptied, whatever else it says", () => {
  const emptied = { epoch: "second", lease: "taken", heartbeatBefore: null, scanRequests: null } as const;
  assert.equal(reason({ ...emptied, reconnected: true }), "Redis was emptied");
});

test("a reconciler that takes the lease scans, since the last leader may have died in a scan", () => {
  assert.equal(reason({ lease: "taken" }), "this reconciler took over");
  assert.equal(whyScan({ ...calm, lease: "taken" }, noMemory).reason, "this reconciler took over");
});

test("a heartbeat that is not the last one means that Redis lost writes", () => {
  assert.equal(reason({ heartbeatBefore: "me:0" }), "Redis forgot something");
  assert.equal(reason({ heartbeatBefore: null }), "Redis forgot something");
});

test("after another reconciler led, its heartbeats are no loss", () => {
  assert.equal(reason({ heartbeatBefore: "other:9" }, { heartbeat: undefined }), undefined);
});

test("a connection that was lost and came back is a reason", () => {
  assert.equal(reason({ reconnected: true }), "Redis is back");
});

test("a publisher's request is heard once, and not on the first look", () => {
  assert.equal(reason({ scanRequests: "8" }), "a publisher asked for it");
  assert.equal(reason({ scanRequests: "1" }, { scanRequests: null }), "a publisher asked for it");
  assert.equal(reason({ scanRequests: "8" }, { scanRequests: undefined }), undefined);
  const { memory: after } = whyScan({ ...calm, scanRequests: "8" }, memory);
  assert.equal(whyScan({ ...calm, heartbeatBefore: "me:2", scanRequests: "8" }, after).reason, undefined);
});

test("without any other reason a scan is due at its time", () => {
  assert.equal(reason({ nowMs: memory.nextScanMs }), "it is time");
  assert.equal(reason({ nowMs: memory.nextScanMs - 1 }), undefined);
});

test("workers get the time to restore their active jobs when the epoch is new, or the first that is seen", () => {
  assert.equal(whyScan({ ...calm, epoch: "second" }, memory).letWorkersReclaim, true);
  assert.equal(whyScan({ ...calm, lease: "taken" }, noMemory).letWorkersReclaim, true);
  assert.equal(whyScan({ ...calm, lease: "taken" }, memory).letWorkersReclaim, false);
});

test("a leader remembers what it saw, and when the next scan is due", () => {
  const seen = { ...calm, scanRequests: "9", epoch: "second" };
  assert.deepEqual(whyScan(seen, memory).memory, {
    heartbeat: "me:2",
    scanRequests: "9",
    epoch: "second",
    nextScanMs: memory.nextScanMs,
  });
});
