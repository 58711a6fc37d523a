import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseRoute } from "../../../services/delivery/backup-route.ts";
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
  reason: "it failed",
  atMs: receivedAtMs,
});

test("the first attempt takes its own route, however old the message is", () => {
  assert.deepEqual(chooseRoute(undefined, receivedAtMs, all, receivedAtMs + 9 * hour), { kind: "own" });
});

test("without a backup every attempt takes its own route", () => {
  assert.deepEqual(chooseRoute(failed("connect"), receivedAtMs, undefined, receivedAtMs + 9 * hour), {
    kind: "own",
  });
});

test("each failure class is taken over from its age on, and not a moment earlier", () => {
  for (const failureClass of ["dns", "connect", "network", "4xx"] as const) {
    const way = (ageMs: number) => chooseRoute(failed(failureClass), receivedAtMs, all, receivedAtMs + ageMs);
    assert.deepEqual(way(hour - 1), { kind: "own" }, failureClass);
    assert.deepEqual(way(hour), { kind: "backup" }, failureClass);
  }
});

test("classes that are not listed are not taken over", () => {
  const dnsOnly = { after: 0, on: ["dns" as const] };
  assert.deepEqual(chooseRoute(failed("connect"), receivedAtMs, dnsOnly, receivedAtMs + hour), {
    kind: "own",
  });
  assert.deepEqual(chooseRoute(failed("dns"), receivedAtMs, dnsOnly, receivedAtMs + hour), {
    kind: "backup",
  });
});

test("what a 5xx refused is not tried unchanged again: it waits for the backup (RFC 5321 §4.2.1)", () => {
  const last = failed("5xx", "5.7.1");
  assert.deepEqual(chooseRoute(last, receivedAtMs, all, receivedAtMs), {
    kind: "wait",
    untilMs: receivedAtMs + hour,
  });
  assert.deepEqual(chooseRoute(last, receivedAtMs, all, receivedAtMs + hour), { kind: "backup" });
});

test("after the backup the own route is tried again, alternately, unless it may have refused for good", () => {
  const nowMs = receivedAtMs + 2 * hour;
  const temporary = { ...all, on: ["connect" as const] };
  assert.deepEqual(chooseRoute(failed("connect"), receivedAtMs, temporary, nowMs, true), { kind: "own" });
  assert.deepEqual(chooseRoute(failed("connect"), receivedAtMs, temporary, nowMs, false), { kind: "backup" });
  assert.deepEqual(chooseRoute(failed("connect"), receivedAtMs, all, nowMs, true), { kind: "backup" });
});

test("a fault of our own is not cured by another route", () => {
  assert.deepEqual(chooseRoute(failed("local"), receivedAtMs, all, receivedAtMs + 2 * hour), { kind: "own" });
});
