import assert from "node:assert/strict";
import { test } from "node:test";
import { type Needs, needsOf } from "../../../../shared/queue/reconcile/needs.ts";
import { fewLeft, isWorthGoingOn, roomForRestored } from "../../../../shared/queue/reconcile/room.ts";
import { type ScanMoment, shareOut } from "../../../../shared/queue/reconcile/share-out.ts";
import { storedMessage } from "../stored-message.ts";

const mb = 2 ** 20;
/** 1,000 MB of memory, of which so many percent are used. */
const used = (percent: number, waiting = 0) => ({
  usedBytes: percent * 10 * mb,
  maxBytes: 1000 * mb,
  waiting,
});

test("restored mail has 75 % of maxmemory, and always less than the threshold from which mail is refused", () => {
  for (const [percent, refusedFrom, room] of [
    [10, 95, 650],
    [74, 95, 10],
    [75, 95, 0],
    [94, 95, 0],
    [120, 95, 0],
    // A lower threshold has its margin as well.
    [10, 50, 325],
    [42.5, 50, 0],
    [10, 10, 0],
    [5, 10, 35],
    // No threshold.
    [10, 0, 650],
    [75, 0, 0],
    [10, 100, 650],
  ] as const)
    assert.equal(
      Math.round(roomForRestored(used(percent), refusedFrom, 0) / mb),
      room,
      `${percent} of ${refusedFrom}`,
    );
});

test("jobs that wait are given the memory that they take when they are deferred", () => {
  const hundredMb = (100 * mb) / 400;
  assert.equal(Math.round(roomForRestored(used(60, hundredMb), 95, 0) / mb), 50);
  assert.equal(roomForRestored(used(60, 2 * hundredMb), 95, 0), 0);
  assert.equal(isWorthGoingOn(used(60, 2 * hundredMb), 95, 2 * hundredMb), false);
  // A few need no more room than fresh mail does.
  assert.equal(roomForRestored(used(60, 2 * hundredMb), 95, 10), 13_000);
});

test("a few jobs need no more room than fresh mail does", () => {
  for (const [percent, refusedFrom, few, octets] of [
    [85, 95, 500, 650_000],
    [85, 95, 10, 13_000],
    [90, 95, 500, 650_000],
    // Where mail is refused, or would be soon.
    [90.25, 95, 500, 0],
    [97, 95, 500, 0],
    [47, 50, 500, 650_000],
    [48, 50, 500, 0],
    // There is more room than they need.
    [74, 95, 500, 10 * mb],
    // On a small server they take a hundredth of it at most.
    [85, 95, 100_000, 10 * mb],
  ] as const)
    assert.equal(
      Math.round(roomForRestored(used(percent), refusedFrom, few)),
      octets,
      `${percent} of ${refusedFrom}`,
    );
  assert.deepEqual([0, 499, 500, 100_000].map(fewLeft), [500, 1, 0, 0]);
});

test("a scan that stopped goes on for a hundredth of maxmemory, or when the queues run dry", () => {
  for (const [percent, queued, goesOn] of [
    [74, 100_000, true],
    [74.5, 100_000, false],
    [85, 100_000, false],
    [85, 300, false],
    [85, 249, true],
    [74.999, 249, true],
    [91, 0, false],
  ] as const)
    assert.equal(isWorthGoingOn(used(percent), 95, queued), goesOn, `${percent} %, ${queued} jobs`);
});

const startedMs = 1_700_000_000_000;
const hourAgo = -3_600_000;

/** @param recipients  as many recipient groups, with a job each */
function needs(receivedMs: number, recipients = 1): Needs {
  const to = Array.from({ length: recipients }, (_, n) => `user${n}@example.org`);
  return needsOf(storedMessage({ to, receivedAtMs: startedMs + receivedMs }), new Map(), startedMs, 0);
}

const many = (count: number, receivedMs: number): Needs[] =>
  Array.from({ length: count }, () => needs(receivedMs));

/** How many go where. */
function split(missing: readonly Needs[], given: Partial<ScanMoment> = {}): Record<string, number> {
  const { ahead, behind, now, later } = shareOut(missing, {
    startedMs,
    nowMs: startedMs + 1_000,
    waiting: 0,
    room: Number.POSITIVE_INFINITY,
    ...given,
  });
  assert.equal(now.length + later.length, missing.length);
  return { ahead: ahead.length, behind: behind.length, later: later.length };
}

test("of restored mail two hundred jobs wait ahead, of that of the last ten seconds five hundred, of what came since all", () => {
  for (const [missing, given, expected] of [
    [many(1000, hourAgo), {}, { ahead: 200, behind: 800, later: 0 }],
    [many(1000, hourAgo), { waiting: 150 }, { ahead: 50, behind: 950, later: 0 }],
    [many(1000, hourAgo), { waiting: 5000 }, { ahead: 0, behind: 1000, later: 0 }],
    // A burst, and then Redis was lost.
    [many(1000, -5_000), {}, { ahead: 500, behind: 500, later: 0 }],
    [many(1000, -5_000), { waiting: 450 }, { ahead: 50, behind: 950, later: 0 }],
    [many(1000, -10_001), {}, { ahead: 200, behind: 800, later: 0 }],
    [[...many(1000, hourAgo), ...many(100, -5_000)], {}, { ahead: 300, behind: 800, later: 0 }],
    [many(1000, 500), { waiting: 5000 }, { ahead: 1000, behind: 0, later: 0 }],
    // The clock was set back: it is older than it says.
    [many(1000, 3_600_000), {}, { ahead: 200, behind: 800, later: 0 }],
    [[needs(hourAgo, 1000)], {}, { ahead: 200, behind: 800, later: 0 }],
  ] as const)
    assert.deepEqual(split(missing, given), expected);
});

test("restored mail waits in the spool from the first message on for which Redis has no room, and fresh mail does not", () => {
  // 1,317 octets each.
  const room = 13_170;
  for (const [missing, given, expected] of [
    [many(1000, hourAgo), { room }, { ahead: 10, behind: 0, later: 990 }],
    [many(1000, hourAgo), { room, waiting: 195 }, { ahead: 5, behind: 5, later: 990 }],
    [many(1000, hourAgo), { room: 0 }, { ahead: 0, behind: 0, later: 1000 }],
    [many(10, -5_000), { room: 0 }, { ahead: 10, behind: 0, later: 0 }],
    [many(1000, -5_000), { room: 0 }, { ahead: 500, behind: 0, later: 500 }],
    [many(1000, 500), { room: 0, waiting: 5000 }, { ahead: 1000, behind: 0, later: 0 }],
    // One message alone may exceed it, so that each has its turn.
    [[needs(hourAgo, 1000), needs(hourAgo)], { room: 1 }, { ahead: 200, behind: 800, later: 1 }],
    [[needs(hourAgo), needs(hourAgo, 1000), needs(hourAgo)], { room }, { ahead: 1, behind: 0, later: 2 }],
  ] as const)
    assert.deepEqual(split(missing, given), expected);
});
