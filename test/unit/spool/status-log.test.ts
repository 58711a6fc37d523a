import assert from "node:assert/strict";
import { appendFileSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import { someDiagnosis, someMeta, store } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeRoom } from "./room.ts";

const delivered: RecipientState = { kind: "delivered" };
const settle = (spool: Spool, id: string, state: RecipientState = delivered) =>
  spool.settle([{ id, recipients: [0], state }]);
const logs = (directory: string) =>
  readdirSync(join(directory, "settled")).map((name) => join(directory, "settled", name));

test("settlements of one turn share one write", async (t) => {
  const spool = makeRoom(t).open();
  await Promise.all(Array.from({ length: 500 }, (_, n) => settle(spool, `M${n}`)));
  assert.equal(spool.counters.settlements, 500);
  assert.equal(spool.counters.settleWrites, 1);
});

test("what one process settled another sees: at once when it asks for fresh states, else soon", async (t) => {
  const room = makeRoom(t);
  const [one, other] = [room.open(), room.open({ followMs: 20 })];
  await other.states("x");
  for (let n = 0; n < 20; n++) {
    await settle(one, `M${n}`);
    assert.equal((await other.states(`M${n}`, true)).get(0)?.kind, "delivered");
  }
  await settle(one, "last");
  await waitFor("the settlement", async () => (await other.states("last")).get(0)?.kind === "delivered");
});

test("settlements outlive their process", async (t) => {
  const room = makeRoom(t);
  const first = room.open();
  const { meta } = await store(first, "x", someMeta(2));
  await first.settle([{ id: meta.id, recipients: [1], state: { kind: "failed", diagnosis: someDiagnosis } }]);
  await first.close();
  assert.deepEqual((await room.open().states(meta.id)).get(1), { kind: "failed", diagnosis: someDiagnosis });
});

test("settlements are on stable storage within a second", async (t) => {
  const faulty = faultyFiles();
  const spool = makeRoom(t).open({ files: faulty.files });
  const beganMs = performance.now();
  await settle(spool, "M");
  assert.equal(faulty.counts.get("fdatasync"), undefined);
  await waitFor("the fdatasync", () => faulty.counts.get("fdatasync") === 1);
  assert.ok(performance.now() - beganMs < 5000);
});

test("what could not be recorded is known to this process and written when it can be", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files });
  await settle(spool, "before");
  faulty.judge = (call) => (call === "write" || call === "writev" ? failure("ENOSPC") : "do");
  await assert.rejects(settle(spool, "M"), { name: "SpoolFull" });
  assert.equal((await spool.states("M")).get(0)?.kind, "delivered");
  assert.equal(logs(room.directory).length, 1, "no files gather");
  faulty.judge = () => "do";
  const other = room.open();
  await waitFor("the second try", async () => (await other.states("M", true)).has(0));
  assert.ok((await other.states("before")).has(0));
  assert.ok((await spool.states("M")).has(0));
});

test("settlements whose fdatasync failed are written again elsewhere", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files });
  let failed = false;
  faulty.judge = (call) => {
    if (call !== "fdatasync" || failed) return "do";
    failed = true;
    return failure("EIO");
  };
  await settle(spool, "M");
  await waitFor("a second log", () => logs(room.directory).length === 2);
  await spool.close();
  unlinkSync(logs(room.directory).sort()[0] ?? "");
  assert.ok((await room.open().states("M")).has(0));
});

test("a process that was taken for dead records again under its new name", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files });
  await settle(spool, "before");
  faulty.judge = (call) => (call === "write" ? "freeze" : "do");
  const settling = settle(spool, "M");
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  const writers = join(room.directory, "writers");
  for (const name of readdirSync(writers)) unlinkSync(join(writers, name));
  for (const log of logs(room.directory)) unlinkSync(log);
  faulty.thaw();
  await settling;
  assert.ok((await room.open().states("M")).has(0));
});

test("a torn end of a log is passed over, damage within it is reported and costs no other settlement", async (t) => {
  const room = makeRoom(t);
  const first = room.open();
  for (const id of ["M1", "M2", "M3"]) await settle(first, id);
  await first.close();
  const log = logs(room.directory)[0] ?? "";
  const octets = readFileSync(log);
  octets[octets.indexOf("M2")] = 0x58;
  writeFileSync(log, octets);
  appendFileSync(log, "=abc 400 1f\nM4 d");
  const second = room.open();
  assert.ok((await second.states("M1")).has(0));
  assert.ok(!(await second.states("M2")).has(0));
  assert.ok((await second.states("M3")).has(0));
  assert.deepEqual(
    room.faults.map(({ kind }) => kind),
    ["damaged"],
  );
});
