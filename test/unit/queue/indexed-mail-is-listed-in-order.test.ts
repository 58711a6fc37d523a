import assert from "node:assert/strict";
import { test } from "node:test";
import type { JobStatus } from "../../../shared/queue/bullmq/job-places.ts";
import { indexMatcher } from "../../../shared/queue/operator/index-matcher.ts";
import { type IndexSort, pageOf } from "../../../shared/queue/operator/index-page.ts";
import type { MailIndex } from "../../../shared/queue/operator/mail-index.ts";
import type { JobFilter } from "../../../shared/queue/operator/rows.ts";
import { addJob, every, type GivenJob, indexOf, said } from "./indexed-jobs.ts";

/** The recipients of all pages. */
function pages(index: MailIndex, sort: IndexSort, limit: number): string[] {
  const to: string[] = [];
  let cursor: string | undefined;
  do {
    const page = pageOf(index.values(), every, sort, limit, cursor);
    assert.ok(page !== undefined);
    assert.equal(page.totals.matched, index.size, "totals are those of all pages");
    to.push(...page.jobs.map((job) => job.to[0] ?? ""));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return to;
}

const jobs: GivenJob[] = [
  { to: ["dead@x.example"], queue: "dead", status: "dead", receivedAtMs: 800 },
  { to: ["held@x.example"], status: "held", receivedAtMs: 900 },
  { to: ["later@x.example"], dueAtMs: 2_000, receivedAtMs: 300, attempts: 9, diagnoses: [said(450, "full")] },
  { to: ["soon@x.example"], dueAtMs: 1_000, receivedAtMs: 400, attempts: 1, diagnoses: [said(451, "busy")] },
  { to: ["second@x.example"], status: "waiting", order: -1, receivedAtMs: 200 },
  { to: ["first@x.example"], status: "waiting", order: -2, receivedAtMs: 500 },
  { to: ["active@x.example"], status: "active", receivedAtMs: 100 },
  { to: ["slow@x.example"], queue: "delivery-slow", status: "waiting", receivedAtMs: 600 },
];

test("without an order mail is listed as workers take it, then held and dead mail", () => {
  const wanted = ["active", "first", "second", "soon", "later", "held", "slow", "dead"];
  for (const limit of [1, 3, 100]) {
    assert.deepEqual(
      pages(indexOf(jobs), "queue", limit).map((to) => to.split("@")[0]),
      wanted,
    );
  }
});

const orders: [sort: IndexSort, first: string][] = [
  ["oldest", "active"],
  ["newest", "held"],
  ["attempts", "later"],
  ["next", "active"],
];
for (const [sort, first] of orders) {
  test(`by ${sort} ${first} comes first`, () => {
    const to = pages(indexOf(jobs), sort, 3).map((address) => address.split("@")[0]);
    assert.equal(to.length, jobs.length);
    assert.equal(new Set(to).size, jobs.length);
    if (sort === "next") assert.deepEqual(to.slice(4, 6), ["soon", "later"]);
    else assert.equal(to[0], first);
  });
}

test("jobs that are equal in the order are listed once each", () => {
  const index = indexOf(
    Array.from({ length: 500 }, (_, n) => ({ to: [`r${n}@x.example`], receivedAtMs: 1 })),
  );
  assert.equal(new Set(pages(index, "attempts", 7)).size, 500);
});

test("what is no cursor is refused", () => {
  const index = indexOf(jobs);
  for (const cursor of ["x", "", "~", "1~", "0.5", "99999999999999999999~a", "1~<a>"]) {
    assert.equal(pageOf(index.values(), every, "queue", 1, cursor), undefined);
  }
});

const filters: [filter: JobFilter, found: string[]][] = [
  [{}, ["ann", "bob", "null"]],
  [{ to: "*@two.example" }, ["ann", "bob"]],
  [{ to: "SUE@one.example" }, ["ann", "null"]],
  [{ from: "<>" }, ["null"]],
  [{ status: "held" }, ["bob"]],
  [{ queue: "delivery-slow" }, ["null"]],
  [{ olderMs: 5_000 }, ["ann"]],
  [{ route: "MX two" }, ["ann", "bob"]],
  [{ error: "mailbox FULL" }, ["ann"]],
  [{ error: "mailbox full", status: "held" }, []],
  [{ error: "for the audit" }, ["bob"]],
  [{ messageId: "<none@example.com>" }, []],
  [{ search: "ANN@" }, ["ann"]],
  [{ search: "two.EXAMPLE" }, ["ann", "bob"]],
  [{ search: "full" }, ["ann"]],
  [{ search: "audit" }, ["bob"]],
  [{ search: "nothing of the kind" }, []],
];
for (const [filter, found] of filters) {
  test(`${JSON.stringify(filter)} finds ${found.join(", ") || "nothing"}`, () => {
    const index = indexOf([
      {
        from: "ann@example.com",
        to: ["joe@two.example", "sue@one.example"],
        receivedAtMs: 1_000,
        diagnoses: [said(450, "Mailbox full")],
      },
      { from: "bob@example.com", to: ["joe@Two.example"], status: "held", receivedAtMs: 9_000 },
      {
        from: "",
        to: ["Sue@One.example"],
        queue: "delivery-slow",
        status: "waiting",
        receivedAtMs: 9_000,
        route: "relay via isp",
      },
    ]);
    const hold = { kind: "sender", value: "bob@*", reason: "For the audit", createdAtMs: 0 } as const;
    const matches = indexMatcher(filter, 10_000, ({ from }) => (from.startsWith("bob") ? hold : undefined));
    const page = pageOf(index.values(), matches, "queue", 10);
    const names = page?.jobs.map(({ from }) => from.split("@")[0] || "null").sort();
    assert.deepEqual(names, found);
    assert.equal(page?.totals.matched, found.length);
  });
}

test("a scan forgets jobs that are gone, and reads again those that were tried", () => {
  const index = indexOf([]);
  index.beginScan();
  const kept = addJob(index, { to: ["kept@x.example"], dueAtMs: 1_000 });
  addJob(index, { to: ["gone@x.example"], dueAtMs: 1_000 });
  index.endScan();
  assert.equal(index.size, 2);
  index.beginScan();
  const place = { jobId: kept, queue: "delivery", status: "deferred", order: 1_000 } as const;
  assert.equal(index.see({ ...place, dueAtMs: 1_000 }), false, "nothing has changed");
  assert.equal(index.see({ ...place, dueAtMs: 2_000 }), true, "it was tried again");
  index.endScan();
  assert.equal(index.size, 1);
});

const moves: [from: JobStatus, to: JobStatus, isRead: boolean][] = [
  ["deferred", "waiting", false],
  ["deferred", "active", false],
  ["waiting", "active", false],
  ["active", "active", false],
  ["active", "deferred", true],
  ["active", "waiting", true],
  ["waiting", "deferred", true],
  ["waiting", "held", true],
  ["held", "deferred", true],
];
for (const [from, to, isRead] of moves) {
  test(`a ${from} job that is ${to} now is ${isRead ? "read again" : "known already"}`, () => {
    const index = indexOf([]);
    index.beginScan();
    const jobId = addJob(index, { status: from, dueAtMs: 1_000 });
    const due = to === "deferred" ? { dueAtMs: 2_000 } : {};
    assert.equal(index.see({ jobId, queue: "delivery", status: to, order: 0, ...due }), isRead);
  });
}

test("an index without room counts what it leaves out", () => {
  const index = indexOf(jobs, 3);
  assert.deepEqual([index.size, index.skipped], [3, jobs.length - 3]);
});

test("a dead job does not hide a job of the same id that is on its way", () => {
  const index = indexOf([]);
  index.beginScan();
  const jobId = addJob(index, { dueAtMs: 1_000 });
  assert.equal(index.see({ jobId, queue: "dead", status: "dead", order: 0 }), true);
});
