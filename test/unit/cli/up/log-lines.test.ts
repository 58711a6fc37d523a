import assert from "node:assert/strict";
import { test } from "node:test";
import { readableLine } from "../../../../services/cli/up/log-lines.ts";

test("a log record becomes one line with time, service, event and fields", () => {
  const line = JSON.stringify({
    level: "info",
    time: "2026-01-02T03:04:05.678Z",
    service: "delivery",
    pid: 7,
    event: "delivery.deferred",
    id: "01ABC",
    to: ["a@example.com"],
    reason: "the server said 450",
  });
  assert.equal(
    readableLine(line, false),
    '03:04:05.678 delivery delivery.deferred id=01ABC to=["a@example.com"] reason="the server said 450"',
  );
});

test("a warning or error has its level and stack, and a colour on a terminal", () => {
  const line = JSON.stringify({
    level: "error",
    time: "2026-01-02T03:04:05.678Z",
    service: "up",
    message: "it broke",
    err: { stack: "Error: it\n  at x" },
  });
  assert.equal(readableLine(line, false), "03:04:05.678 up       ERROR it broke\nError: it\n  at x");
  const coloured = readableLine(line, true);
  assert.ok(coloured.startsWith("\x1b[31m") && coloured.endsWith("\x1b[0m"));
});

test("a line that is not a record is unchanged", () => {
  assert.equal(readableLine("{not json", false), "{not json");
  assert.equal(readableLine("plain", false), "plain");
});

test("a line with the names of ECS reads like one with ours", () => {
  const line = JSON.stringify({
    "log.level": "warn",
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "ecs.version": "8.17.0",
    service: { name: "ingress", type: "postern" },
    process: { pid: 1 },
    event: { action: "message.accepted", duration: 12 },
    email: { local_id: "A", to: { address: ["bob@example.com"] } },
  });
  assert.equal(
    readableLine(line, false),
    '03:04:05.678 ingress  WARN message.accepted event.duration=12 email.local_id=A email.to.address=["bob@example.com"]',
  );
});
