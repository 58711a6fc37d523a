import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseWay } from "../../../services/delivery/backup-route.ts";
import type { Diagnosis, FailureClass } from "../../../shared/smtp/diagnosis.ts";

const receivedAtMs = 1_800_000_000_000;
const hour = 3_600_000;
const all = {
  after: hour,
  on: ["dns", "connect", "network", "4xx", "5xx"] as FailureClass[] as ("dns" | "4xx")[],
};
const failed = (failureClass: FailureClass, status: Diagnosis["status"] = "4.0.0"): Diagnosis => ({
  status,
  class: failureClass,
  reason: "trouble",
  atMs: receivedAtMs,
});

test("the first attempt goes its own way, however old the message is", () => {
  assert.deepEqual(chooseWay(undefined, receivedAtMs, all, receivedAtMs + 9 * hour), { kind: "own" });
});

test("without a backup every attempt goes its own way", () => {
  assert.deepEqual(chooseWay(failed("connect"), receivedAtMs, undefined, receivedAtMs + 9 * hour), {
    kind: "own",
  });
});

test("each failure class is taken over from its age on, and not a moment earlier", () => {
  for (const failureClass of ["dns", "connect", "network", "4xx"] as const) {
    const way = (ageMs: number) => chooseWay(failed(failureClass), receivedAtMs, all, receivedAtMs + ageMs);
    assert.deepEqual(way(hour - 1), { kind: "own" }, failureClass);
    assert.deepEqual(way(hour), { kind: "backup" }, failureClass);
  }
});

test("classes that are not listed are not taken over", () => {
  const dnsOnly = { after: 0, on: ["dns" as const] };
  assert.deepEqual(chooseWay(failed("connect"), receivedAtMs, dnsOnly, receivedAtMs + hour), { kind: "own" });
  assert.deepEqual(chooseWay(failed("dns"), receivedAtMs, dnsOnly, receivedAtMs + hour), { kind: "backup" });
});

test("what a 5xx refused is not tried unchanged again: it waits for the backup (RFC 5321 §4.2.1)", () => {
  const last = failed("5xx", "5.7.1");
  assert.deepEqual(chooseWay(last, receivedAtMs, all, receivedAtMs), {
    kind: "wait",
    untilMs: receivedAtMs + hour,
  });
  assert.deepEqual(chooseWay(last, receivedAtMs, all, receivedAtMs + hour), { kind: "backup" });
});

test("after the backup its own way is tried again, in turn, unless that may have refused for good", () => {
  const nowMs = receivedAtMs + 2 * hour;
  const temporary = { ...all, on: ["connect" as const] };
  assert.deepEqual(chooseWay(failed("connect"), receivedAtMs, temporary, nowMs, true), { kind: "own" });
  assert.deepEqual(chooseWay(failed("connect"), receivedAtMs, temporary, nowMs, false), { kind: "backup" });
  assert.deepEqual(chooseWay(failed("connect"), receivedAtMs, all, nowMs, true), { kind: "backup" });
});

test("our own trouble is not cured by another way out", () => {
  assert.deepEqual(chooseWay(failed("local"), receivedAtMs, all, receivedAtMs + 2 * hour), { kind: "own" });
});
