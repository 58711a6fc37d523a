import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { store } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const quick = { heartbeatMs: 20, deadAfterMs: 500, followMs: 20 };

test("a writer without a heartbeat is taken for dead, one with a heartbeat is not", async (t) => {
  const faulty = faultyFiles();
  t.after(() => faulty.thaw());
  const fixture = makeSpoolFixture(t, quick);
  const [silent, living, watching] = [fixture.open({ files: faulty.files }), fixture.open(), fixture.open()];
  await Promise.all([store(silent, "x"), store(living, "x")]);
  const writers = () => readdirSync(join(fixture.directory, "writers"));
  const both = writers();
  await watching.states("x");
  faulty.decide = () => "freeze";
  await waitFor("the silent writer to be taken for dead", () => writers().length === 1);
  const left = writers()[0] ?? "";
  assert.ok(both.includes(left));
  assert.ok((await store(living, "y")).locator.segment.includes(left));
  assert.deepEqual(fixture.faults, []);
  faulty.thaw();
  await store(silent, "back");
  assert.equal(writers().length, 2);
  assert.deepEqual(
    fixture.faults.map(({ kind }) => kind),
    ["fenced"],
  );
});

test("a process that only reads has no heartbeat", async (t) => {
  const fixture = makeSpoolFixture(t, quick);
  const spool = fixture.open();
  await spool.read("M");
  await spool.states("M", true);
  for await (const _ of spool.unsettled()) assert.fail("nothing is there");
  await spool.status();
  assert.deepEqual(readdirSync(join(fixture.directory, "writers")), []);
});
