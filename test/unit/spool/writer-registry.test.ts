import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { someMeta, store, textOf, unsettledIds } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
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

test("a message is seen by other processes when it is on stable storage, and not before", async (t) => {
  const faulty = faultyFiles();
  t.after(() => faulty.thaw());
  const fixture = makeSpoolFixture(t);
  const [writing, other] = [fixture.open({ files: faulty.files }), fixture.open()];
  const first = await store(writing, "first");
  assert.deepEqual(await unsettledIds(other), [first.meta.id]);
  faulty.decide = (call) => (call === "fdatasync" ? "freeze" : "do");
  const reported = await store(other, "x", someMeta());
  const settles = { id: reported.meta.id, recipients: [0], state: { kind: "bounced" as const } };
  const second = store(writing, "second");
  await waitFor("its octets to be written", () => faulty.counts.get("fdatasync") === 2);
  assert.deepEqual(await unsettledIds(other), [first.meta.id, reported.meta.id]);
  await other.collect();
  faulty.thaw();
  const { meta, locator } = await second;
  assert.deepEqual(
    (await unsettledIds(other)).toSorted(),
    [first.meta.id, reported.meta.id, meta.id].toSorted(),
  );
  assert.equal(await textOf(other, { meta, locator }), "second");

  // The same for what a record settles.
  const third = await store(writing, "a notification", someMeta(), settles);
  faulty.decide = (call) => (call === "fdatasync" ? "freeze" : "do");
  const count = faulty.counts.get("fdatasync") ?? 0;
  const late = { id: third.meta.id, recipients: [0], state: { kind: "bounced" as const } };
  const fourth = store(writing, "another", someMeta(), late);
  await waitFor("its octets to be written", () => (faulty.counts.get("fdatasync") ?? 0) > count);
  assert.equal((await other.states(reported.meta.id, true)).get(0)?.kind, "bounced");
  assert.ok((await unsettledIds(other)).includes(third.meta.id));
  faulty.thaw();
  await fourth;
});

test("a message that a failing disk takes back is never seen by other processes", async (t) => {
  const faulty = faultyFiles();
  t.after(() => faulty.thaw());
  const fixture = makeSpoolFixture(t);
  const [writing, other] = [fixture.open({ files: faulty.files }), fixture.open()];
  const kept = await store(writing, "kept");
  let release = (): void => {};
  const { fdatasync } = faulty.files;
  faulty.files.fdatasync = (_fd, done) => {
    release = () => done(failure("EIO"));
    faulty.files.fdatasync = fdatasync;
  };
  const refused = assert.rejects(store(writing, "refused"), { name: "SpoolUnavailable" });
  await waitFor("its octets to be written", () => faulty.files.fdatasync === fdatasync);
  assert.deepEqual(await unsettledIds(other), [kept.meta.id]);
  release();
  await refused;
  assert.deepEqual(await unsettledIds(other), [kept.meta.id]);
});

test("the heartbeat of a writer of version 0.1 does not say what is on stable storage: all of its segment counts", async (t) => {
  const fixture = makeSpoolFixture(t, { heartbeatMs: 3_600_000 });
  const [writing, other] = [fixture.open(), fixture.open()];
  const stored = await store(writing, "x");
  const path = join(fixture.directory, "writers", readdirSync(join(fixture.directory, "writers"))[0] ?? "");
  writeFileSync(path, `${'{"segmentsFrom":0,"logsFrom":0,"beat":1}'.padEnd(127)}\n`);
  assert.deepEqual(await unsettledIds(other), [stored.meta.id]);
});
