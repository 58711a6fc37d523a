import assert from "node:assert/strict";
import { test } from "node:test";
import { type Grouping, summarise } from "../../../shared/queue/operator/summary.ts";
import { every, type GivenJob, indexOf, said } from "./indexed-jobs.ts";

const nowMs = Date.UTC(2026, 10, 30, 12);
const minute = 60_000;
const ago = (minutes: number): number => nowMs - minutes * minute;

function sum(jobs: readonly GivenJob[], by: Grouping, limit = 100) {
  const index = indexOf(jobs);
  return summarise(index.values(), { by, limit, nowMs }, every, (key) => index.firstSeenMs(key));
}

function groups(jobs: readonly GivenJob[], by: Grouping): [string, number][] {
  return sum(jobs, by).rows.map(({ key, messages }) => [key, messages]);
}

const ages: [minutes: number, column: string][] = [
  [0, "5m"],
  [5, "5m"],
  [6, "10m"],
  [10, "10m"],
  [11, "20m"],
  [80, "80m"],
  [81, "160m"],
  [320, "320m"],
  [640, "640m"],
  [1280, "1280m"],
  [1281, "older"],
  [10_000, "older"],
  [-5, "5m"],
];
for (const [minutes, column] of ages) {
  test(`mail that was received ${minutes} minutes ago stands in the column ${column}`, () => {
    const { rows, total } = sum([{ receivedAtMs: ago(minutes) }], "destination");
    for (const counted of [rows[0]?.ages ?? {}, total.ages]) {
      assert.deepEqual(
        Object.entries(counted).filter(([, count]) => count > 0),
        [[column, 1]],
      );
    }
  });
}

test("the largest group stands first, and the total counts each job once", () => {
  const jobs = [
    { to: ["a@one.example", "b@ONE.example", "c@two.example"], receivedAtMs: ago(90) },
    { to: ["d@two.example"], receivedAtMs: ago(1), status: "held" as const },
  ];
  const { rows, total, groups } = sum(jobs, "destination");
  assert.deepEqual(
    rows.map(({ key, messages, held, oldestAt }) => [key, messages, held, oldestAt]),
    [
      ["two.example", 2, 1, new Date(ago(90)).toISOString()],
      ["one.example", 1, 0, new Date(ago(90)).toISOString()],
    ],
  );
  assert.deepEqual([total.messages, total.held, groups], [2, 1, 2]);
});

test("by sender the null sender is <>, by route a job without one says so", () => {
  assert.deepEqual(groups([{ from: "" }, { from: "ann@example.com" }, { from: "" }], "sender"), [
    ["<>", 2],
    ["ann@example.com", 1],
  ]);
  assert.deepEqual(groups([{ route: "" }], "route"), [["not routed yet", 1]]);
});

test("equal reasons make one group, with code, words, first and last time and how many destinations", () => {
  const jobs: GivenJob[] = [
    {
      to: ["a@one.example"],
      receivedAtMs: ago(30),
      diagnoses: [said(450, "<a@one.example> is full", ago(20))],
    },
    {
      to: ["b@two.example"],
      receivedAtMs: ago(20),
      diagnoses: [said(450, "<b@two.example> is full", ago(10))],
    },
    { to: ["c@two.example"], receivedAtMs: ago(10), diagnoses: [said(451, "busy", ago(5))] },
    { status: "waiting", receivedAtMs: ago(1) },
    { status: "held", receivedAtMs: ago(2) },
  ];
  const { rows } = sum(jobs, "reason");
  assert.deepEqual(
    rows.map(({ key, messages }) => [key, messages]),
    [
      ["450 4.2.1 … is full", 2],
      ["451 4.2.1 busy", 1],
      ["held", 1],
      ["not tried yet", 1],
    ],
  );
  assert.deepEqual(rows[0]?.reason, {
    code: 450,
    status: "4.2.1",
    text: "… is full",
    firstAt: new Date(ago(20)).toISOString(),
    lastAt: new Date(ago(10)).toISOString(),
    destinations: 2,
  });
});

test("a job with two reasons counts in both groups", () => {
  const job = { to: ["a@two.example", "b@two.example"], diagnoses: [said(450, "full"), said(451, "busy")] };
  assert.deepEqual(groups([job], "reason"), [
    ["450 4.2.1 full", 1],
    ["451 4.2.1 busy", 1],
  ]);
});

test("beyond the limit there are groups that are only counted", () => {
  const { rows, groups } = sum(
    Array.from({ length: 30 }, (_, n) => ({ to: [`a@d${n}.example`] })),
    "destination",
    10,
  );
  assert.deepEqual([rows.length, groups], [10, 30]);
});
