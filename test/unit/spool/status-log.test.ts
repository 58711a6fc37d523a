import assert from "node:assert/strict";
import { appendFileSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import { someDiagnosis, someMeta, store } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const delivered: RecipientState = { kind: "delivered" };
const settle = (spool: Spool, id: string, state: RecipientState = delivered) =>
  spool.settle([{ id, recipients: [0], state }]);
const logs = (directory: string) =>
  readdirSync(join(directory, "settled")).map((name) => join(directory, "settled", name));

test("settlements of one turn of the event loop share one write", async (t) => {
  const spool = makeSpoolFixture(t).open();
  await Promise.all(Array.from({ length: 500 }, (_, n) => settle(spool, `M${n}`)));
  assert.equal(spool.counters.settlements, 500);
  assert.equal(spool.counters.settleWrites, 1);
});

test("another process sees what was settled: at once when it asks for fresh states, else soon", async (t) => {
  const fixture = makeSpoolFixture(t);
  const [one, other] = [fixture.open(), fixture.open({ followMs: 20 })];
  await other.states("x");
  for (let n = 0; n < 20; n++) {
    await settle(one, `M${n}`);
    assert.equal((await other.states(`M${n}`, true)).get(0)?.kind, "delivered");
  }
  await settle(one, "last");
  await waitFor("the settlement", async () => (await other.states("last")).get(0)?.kind === "delivered");
});

test("settlements outlive their process", async (t) => {
  const fixture = makeSpoolFixture(t);
  const first = fixture.open();
  const { meta } = await store(first, "x", someMeta(2));
  await first.settle([{ id: meta.id, recipients: [1], state: { kind: "failed", diagnosis: someDiagnosis } }]);
  await first.close();
  assert.deepEqual((await fixture.open().states(meta.id)).get(1), {
    kind: "failed",
    diagnosis: someDiagnosis,
  });
});

test("settlements are on stable storage within a second", async (t) => {
  const faulty = faultyFiles();
  const spool = makeSpoolFixture(t).open({ files: faulty.files });
  const beganMs = performance.now();
  await settle(spool, "M");
  assert.equal(faulty.counts.get("fdatasync"), undefined);
  await waitFor("the fdatasync", () => faulty.counts.get("fdatasync") === 1);
  assert.ok(performance.now() - beganMs < 30_000);
});

test("settlements that could not be recorded are known to this process and written later", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  await settle(spool, "before");
  faulty.decide = (call) => (call === "write" || call === "writev" ? failure("ENOSPC") : "do");
  await assert.rejects(settle(spool, "M"), { name: "SpoolFull" });
  assert.equal((await spool.states("M")).get(0)?.kind, "delivered");
  assert.equal(logs(fixture.directory).length, 1, "failed attempts leave no files");
  faulty.decide = () => "do";
  const other = fixture.open();
  await waitFor("the second try", async () => (await other.states("M", true)).has(0));
  assert.ok((await other.states("before")).has(0));
  assert.ok((await spool.states("M")).has(0));
});

test("settlements whose fdatasync failed are written again to another log", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  let failed = false;
  faulty.decide = (call) => {
    if (call !== "fdatasync" || failed) return "do";
    failed = true;
    return failure("EIO");
  };
  await settle(spool, "M");
  await waitFor("a second log", () => logs(fixture.directory).length === 2);
  await spool.close();
  unlinkSync(logs(fixture.directory).sort()[0] ?? "");
  assert.ok((await fixture.open().states("M")).has(0));
});

test("a process that was taken for dead records its settlements again under its new name", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  await settle(spool, "before");
  faulty.decide = (call) => (call === "write" ? "freeze" : "do");
  const settling = settle(spool, "M");
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  const writers = join(fixture.directory, "writers");
  for (const name of readdirSync(writers)) unlinkSync(join(writers, name));
  for (const log of logs(fixture.directory)) unlinkSync(log);
  faulty.thaw();
  await settling;
  assert.ok((await fixture.open().states("M")).has(0));
});

test("the incomplete end of a log is ignored, and damage within it is reported and loses no other settlement", async (t) => {
  const fixture = makeSpoolFixture(t);
  const first = fixture.open();
  for (const id of ["M1", "M2", "M3"]) await settle(first, id);
  await first.close();
  const log = logs(fixture.directory)[0] ?? "";
  const octets = readFileSync(log);
  octets[octets.indexOf("M2")] = 0x58;
  writeFileSync(log, octets);
  appendFileSync(log, "=abc 400 1f\nM4 d");
  const second = fixture.open();
  assert.ok((await second.states("M1")).has(0));
  assert.ok(!(await second.states("M2")).has(0));
  assert.ok((await second.states("M3")).has(0));
  assert.deepEqual(
    fixture.faults.map(({ kind }) => kind),
    ["damaged"],
  );
});
