import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decideAdmission,
  findPressures,
  type Measured,
  type PressureName,
  type Thresholds,
} from "../../../../services/ingress/admission/decide-admission.ts";

const mb = 2 ** 20;
const thresholds: Thresholds = {
  disk_free: 100 * mb,
  disk_latency: 10_000,
  redis_memory: 95,
  memory: 80,
  connections: 1000,
};
const well: Measured = {
  storage: { freeBytes: 1000 * mb, latencyMs: 5 },
  redisShare: 0.2,
  memoryShare: 0.1,
  connections: 10,
};
const storage = (given: Partial<Measured["storage"]>): Measured => ({
  ...well,
  storage: { ...well.storage, ...given },
});

function active(measured: Measured, before: PressureName[] = [], limits = thresholds): string {
  return [...findPressures(measured, limits, new Set(before)).active.keys()].join();
}

/** "connect" and "mail" as `code status`, or `accepted`. */
function replies(measured: Measured, { isOver = false, declaredOctets = 0 } = {}): [string, string] {
  const pressures = findPressures(measured, thresholds, new Set());
  const requests = [{ step: "connect", isOver } as const, { step: "mail", declaredOctets } as const];
  const answers = requests.map((request) => {
    const decision = decideAdmission(pressures, request);
    return decision.kind === "accept" ? "accepted" : `${decision.reply.code} ${decision.reply.enhanced}`;
  });
  return [answers[0] ?? "", answers[1] ?? ""];
}

for (const [what, measured, connect, mail] of [
  ["nothing", well, "accepted", "accepted"],
  ["a disk that fails", storage({ failure: "EIO" }), "accepted", "451 4.3.0"],
  ["a write that takes ten seconds", storage({ latencyMs: 10_000 }), "accepted", "451 4.3.0"],
  ["a write that takes nine seconds", storage({ latencyMs: 9_000 }), "accepted", "accepted"],
  ["a disk with 99 MB left", storage({ freeBytes: 99 * mb }), "accepted", "452 4.3.1"],
  ["a disk with 100 MB left", storage({ freeBytes: 100 * mb }), "accepted", "accepted"],
  ["free space that is not known", storage({ freeBytes: Number.POSITIVE_INFINITY }), "accepted", "accepted"],
  ["Redis at 95 percent", { ...well, redisShare: 0.951 }, "accepted", "452 4.3.1"],
  ["Redis at 94 percent", { ...well, redisShare: 0.949 }, "accepted", "accepted"],
  ["Redis out of reach", { ...well, redisShare: undefined }, "accepted", "accepted"],
  ["memory at 80 percent", { ...well, memoryShare: 0.801 }, "421 4.3.2", "452 4.3.1"],
  ["memory at 79 percent", { ...well, memoryShare: 0.799 }, "accepted", "accepted"],
  ["a disk that fails and is full", storage({ failure: "EIO", freeBytes: 0 }), "accepted", "451 4.3.0"],
] as const) {
  test(`with ${what} a connection is ${connect}, and a message ${mail}`, () => {
    assert.deepEqual(replies(measured), [connect, mail]);
  });
}

test("a connection beyond the limit gets 421 4.3.2, and those that are open go on with their mail", () => {
  assert.deepEqual(replies({ ...well, connections: 1000 }, { isOver: true }), ["421 4.3.2", "accepted"]);
});

test("a message whose declared size would fill the disk is refused, a smaller one is not (RFC 1870 §6.2)", () => {
  const measured = storage({ freeBytes: 130 * mb });
  assert.deepEqual(replies(measured, { declaredOctets: 31 * mb }), ["accepted", "452 4.3.1"]);
  assert.deepEqual(replies(measured, { declaredOctets: 30 * mb }), ["accepted", "accepted"]);
});

for (const [name, still, over] of [
  ["disk-slow", storage({ latencyMs: 5_000 }), storage({ latencyMs: 4_999 })],
  ["disk-full", storage({ freeBytes: 109 * mb }), storage({ freeBytes: 111 * mb })],
  ["redis-memory", { ...well, redisShare: 0.91 }, { ...well, redisShare: 0.9 }],
  ["memory", { ...well, memoryShare: 0.72 }, { ...well, memoryShare: 0.71 }],
  ["connections", { ...well, connections: 950 }, { ...well, connections: 949 }],
] as const) {
  test(`${name} ends a little below its threshold, so that it does not begin and end with each message`, () => {
    assert.equal(active(still), "");
    assert.equal(active(still, [name]), name);
    assert.equal(active(over, [name]), "");
  });
}

test("a threshold of 0 refuses nothing", () => {
  const none = { disk_free: 0, disk_latency: 0, redis_memory: 0, memory: 0, connections: 0 };
  const all = { storage: { freeBytes: 0, latencyMs: 1e9 }, redisShare: 1, memoryShare: 1, connections: 1e6 };
  assert.equal(active(all, [], none), "");
});

test("each pressure has a line for operators", () => {
  const reasonOf = (measured: Measured) =>
    [...findPressures(measured, thresholds, new Set()).active.values()].join();
  assert.equal(
    reasonOf(storage({ latencyMs: 12_340, doing: "writing messages" })),
    "the disk of the spool is slow: it has been writing messages for 12.3 s",
  );
  assert.equal(
    reasonOf(storage({ freeBytes: 12.6 * mb })),
    "the disk of the spool is nearly full: 12 MB are free, of 100 MB",
  );
  assert.equal(reasonOf({ ...well, redisShare: 0.987 }), "Redis is nearly full: 98 % of maxmemory are used");
});
