import assert from "node:assert/strict";
import { test } from "node:test";
import { nextSteps, type StatusFacts } from "../../../../services/admin/routes/next-steps.ts";
import { judge, statusServices } from "../../../../services/admin/routes/status.ts";

const atMs = Date.UTC(2026, 10, 30, 3);
const at = new Date(atMs).toISOString();
const service = (name: string, given = {}) => ({
  name,
  host: "gw1",
  pid: 7,
  startedAt: new Date(atMs - 3_600_000).toISOString(),
  url: null,
  ready: true,
  reasons: [],
  ...given,
});
const all = [service("ingress"), service("delivery"), service("bounce")];
const rate = { accepted: 0, delivered: 0, deferred: 0, bounced: 0, refused: 0, proxied: 0 };
const well: StatusFacts = {
  ok: true,
  reasons: [],
  warnings: [],
  at,
  services: statusServices(all, [], true),
  redis: { ok: true, usedBytes: 1, maxBytes: null, latencyMs: 1 },
  rates: { "1m": rate, "5m": rate, "15m": rate },
  sessions: null,
  queues: [],
  oldestSeconds: null,
  dead: 0,
  held: 0,
  holds: 0,
  worst: [],
  asOf: at,
  indexed: 0,
  notIndexed: 0,
  disk: { usedBytes: 0, freeBytes: 50 * 2 ** 30 },
};
const worst = (messages: number, hours: number) => [
  {
    destination: "two.example",
    messages,
    oldestAt: new Date(atMs - hours * 3_600_000).toISOString(),
    reason: { code: 450, status: "4.2.1", text: "busy", messages },
  },
];

const steps: [what: string, facts: Partial<StatusFacts>, text: RegExp | undefined, command: string | null][] =
  [
    ["all is well", {}, undefined, null],
    ["two messages were deferred a moment ago", { worst: worst(2, 0) }, undefined, null],
    [
      "mail waits for a destination",
      { worst: worst(37, 3) },
      /37 messages wait for two\.example, the oldest for 3h/,
      "postern destination two.example",
    ],
    [
      "one message waits for long",
      { worst: worst(1, 5) },
      /1 message waits for two\.example/,
      "postern destination two.example",
    ],
    ["mail is dead", { dead: 1 }, /1 message could be neither/, "postern queue list --status dead"],
    ["mail is held", { held: 12, holds: 1 }, /12 messages are held/, "postern holds"],
    [
      "the disk is nearly full",
      { disk: { usedBytes: 1, freeBytes: 2 ** 20 } },
      /room on the file system/,
      "df -h",
    ],
    [
      "Redis is away",
      {
        redis: { ok: false, usedBytes: null, maxBytes: null, latencyMs: null },
        services: statusServices([], [], false),
      },
      /nothing is lost/,
      null,
    ],
    [
      "no delivery runs",
      {
        services: statusServices(
          all.filter(({ name }) => name !== "delivery"),
          [],
          true,
        ),
      },
      /Start delivery: none is running/,
      "postern delivery",
    ],
    [
      "a service is not ready",
      {
        services: statusServices(
          [...all, service("ingress", { ready: false, reasons: ["the disk is full"] })],
          [],
          true,
        ),
      },
      /Look after ingress on gw1: the disk is full/,
      "postern health ingress",
    ],
    [
      "a service has ended",
      {
        services: statusServices(
          all,
          [{ ...service("delivery"), warnings: [], pid: 9, lastSeenMs: atMs - 60_000 }],
          true,
        ),
      },
      /Read the log of delivery \(pid 9\) on gw1/,
      "postern delivery",
    ],
  ];
for (const [what, facts, text, command] of steps) {
  test(`when ${what}, ${text === undefined ? "there is nothing to do" : "it says what to do"}`, () => {
    const [first, ...others] = nextSteps({ ...well, ...facts });
    if (text === undefined) return assert.equal(first, undefined);
    assert.match(first?.text ?? "", text);
    assert.equal(first?.command, command);
    assert.deepEqual(others, []);
  });
}

test("what stops mail comes before what needs patience", () => {
  const facts = { ...well, dead: 2, held: 1, worst: worst(99, 9), services: statusServices([], [], true) };
  assert.deepEqual(
    nextSteps(facts).map(({ command }) => command),
    [
      "postern ingress",
      "postern delivery",
      "postern bounce",
      "postern queue list --status dead",
      "postern destination two.example",
      "postern holds",
    ],
  );
});

test("a service that was started again in the place of one that has ended is all there is", () => {
  const ended = { ...service("delivery"), warnings: [], pid: 9, lastSeenMs: atMs - 60_000 };
  const again = service("delivery", { pid: 10, startedAt: new Date(atMs - 50_000).toISOString() });
  const states = (running: typeof all) =>
    statusServices(running, [ended], true).map(({ name, pid, state }) => `${name} ${pid} ${state}`);
  assert.deepEqual(states([service("ingress"), again, service("bounce")]), [
    "ingress 7 ready",
    "delivery 10 ready",
    "bounce 7 ready",
  ]);
  assert.ok(states(all).includes("delivery 9 ended"), "the other worker has run all the time");
});

test("a service that has ended makes it not well, little space is a warning", () => {
  const ended = { ...service("delivery"), warnings: [], pid: 9, lastSeenMs: atMs - 12_000 };
  const judged = judge({ ready: true, reasons: [] }, statusServices(all, [ended], true), {
    freeBytes: 100 * 2 ** 20,
    nowMs: atMs,
  });
  assert.deepEqual(judged, {
    reasons: ["delivery on gw1 (pid 9) has ended without a word, 12s ago"],
    warnings: ["the file system of the spool has 100 MB left"],
  });
});
