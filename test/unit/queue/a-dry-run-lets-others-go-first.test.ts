import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { JobChanges } from "../../../shared/queue/operator/changes.ts";
import { countByIndex } from "../../../shared/queue/operator/dry-run.ts";
import { every, indexOf } from "./indexed-jobs.ts";

test("other requests are answered while a dry run counts very many messages", async () => {
  const index = indexOf(
    Array.from({ length: 20_000 }, () => ({})),
    20_000,
  );
  let answered = 0;
  const counted = countByIndex(
    { jobs: index.values(), matches: every },
    () => undefined,
    () => undefined,
  );
  let isCounted = false;
  const report = counted.finally(() => {
    isCounted = true;
  });
  while (!isCounted) {
    await nextTurn();
    answered++;
  }
  const { matched, changed } = await report;
  assert.deepEqual([matched, changed], [20_000, 20_000]);
  assert.ok(answered >= 10, `${answered} turns for others`);
});

test("a dry run names what it would skip", async () => {
  const index = indexOf([{ status: "active" }, { status: "deferred" }]);
  const report = await countByIndex(
    { jobs: index.values(), matches: every },
    ({ status }) => (status === "active" ? "is being delivered" : undefined),
    () => undefined,
  );
  assert.deepEqual([report.matched, report.changed], [2, 1]);
  assert.deepEqual(
    report.skipped.map(({ reason }) => reason),
    ["is being delivered"],
  );
});

test("a dry run by a filter reads no job where the index has all", async () => {
  const index = indexOf([{ to: ["a@one.example"] }, { to: ["b@two.example"] }, { status: "held" }]);
  const forEach = () => assert.fail("jobs were read");
  const holds = { match: () => undefined, find: () => undefined };
  const changes = new JobChanges({} as never, holds as never, { forEach } as never, async ({ to = "" }) => ({
    jobs: index.values(),
    matches: (job) => job.to.includes(to),
  }));
  const dryRun = { dryRun: true };
  const one = await changes.retry({ filter: { to: "a@one.example" } }, dryRun);
  assert.deepEqual(one, { matched: 1, changed: 1, skipped: [], unknown: [] });
  const held = await changes.retry({ filter: { to: "joe@two.example" } }, dryRun);
  assert.deepEqual([held.matched, held.changed], [1, 0]);
  assert.match(held.skipped[0]?.reason ?? "", /release it first/);
});
