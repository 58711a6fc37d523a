import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SpoolFull, SpoolUnavailable } from "../../../shared/spool/spool.ts";
import { store, textOf, unsettledIds } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeRoom } from "./room.ts";

const segmentFiles = (directory: string) => readdirSync(join(directory, "segments")).sort();

test("messages that are ready together share one fdatasync, and keep their order", async (t) => {
  const faulty = faultyFiles();
  const spool = makeRoom(t).open({ files: faulty.files });
  const order: number[] = [];
  const all = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const stored = await store(spool, `message ${n}`);
      order.push(n);
      return stored;
    }),
  );
  assert.ok((faulty.counts.get("fdatasync") ?? 0) <= 3);
  assert.equal(spool.counters.commits, 200);
  assert.equal(spool.counters.fdatasyncs, faulty.counts.get("fdatasync"));
  assert.ok(spool.counters.largestBatch > 60);
  assert.deepEqual(
    order,
    Array.from({ length: 200 }, (_, n) => n),
  );
  const offsets = all.map(({ locator }) => locator.offset);
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  );
});

test("commit resolves only when fdatasync has", async (t) => {
  const faulty = faultyFiles();
  const spool = makeRoom(t).open({ files: faulty.files });
  faulty.judge = (call) => (call === "fdatasync" ? "freeze" : "do");
  let stored = false;
  const commit = store(spool, "x").then(() => {
    stored = true;
  });
  await waitFor("the fdatasync", () => faulty.counts.get("fdatasync") === 1);
  await new Promise(setImmediate);
  assert.equal(stored, false);
  faulty.thaw();
  await commit;
});

test("a new segment's name is durable before the first message in it is accepted", async (t) => {
  const faulty = faultyFiles();
  const spool = makeRoom(t).open({ files: faulty.files });
  const calls: string[] = [];
  faulty.judge = (call, args) => {
    calls.push(call === "open" ? `open ${args[1]}` : call);
    return "do";
  };
  await store(spool, "x");
  const durable = calls.filter((call) => ["open wx", "fsync", "write", "writev", "fdatasync"].includes(call));
  // The first open is the writer's sign of life.
  assert.deepEqual(durable.slice(-4), ["open wx", "fsync", "write", "fdatasync"]);
});

for (const code of ["ENOSPC", "EDQUOT", "EIO", "EROFS"]) {
  test(`a write that fails with ${code} refuses its messages, and those before and after are kept`, async (t) => {
    const faulty = faultyFiles();
    const room = makeRoom(t);
    const spool = room.open({ files: faulty.files });
    const before = await store(spool, "before");
    faulty.judge = (call) => (call === "write" || call === "writev" ? failure(code) : "do");
    const expected = code === "ENOSPC" || code === "EDQUOT" ? SpoolFull : SpoolUnavailable;
    const results = await Promise.allSettled([store(spool, "a"), store(spool, "b")]);
    for (const result of results)
      assert.ok(result.status === "rejected" && result.reason instanceof expected);
    faulty.judge = () => "do";
    const after = await store(spool, "after");
    assert.deepEqual(await unsettledIds(spool), [before.meta.id, after.meta.id]);
    await spool.close();
    const again = room.open();
    assert.deepEqual(await unsettledIds(again), [before.meta.id, after.meta.id]);
    assert.equal(await textOf(again, after), "after");
    assert.deepEqual(room.faults, []);
  });
}

test("half a batch that fits on the disk leaves nothing behind", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files });
  const before = await store(spool, "before");
  const segment = join(room.directory, "segments", segmentFiles(room.directory)[0] ?? "");
  const size = statSync(segment).size;
  let short = true;
  const { write } = faulty.files;
  faulty.files.write = (fd, from, at, length, position, done) => {
    if (short && length > 5000) {
      short = false;
      write(fd, from, at, length - 2000, position, done);
    } else if (!short) done(failure("ENOSPC"), 0);
    else write(fd, from, at, length, position, done);
  };
  await assert.rejects(store(spool, Buffer.alloc(9000)), SpoolFull);
  assert.equal(statSync(segment).size, size);
  short = true;
  const after = await store(spool, "after");
  assert.deepEqual(await unsettledIds(spool), [before.meta.id, after.meta.id]);
});

test("after a failed fdatasync the segment is given up, and what was refused in it does not come back", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files });
  const before = await store(spool, "before");
  let failed = false;
  faulty.judge = (call) => {
    if (call !== "fdatasync" || failed) return "do";
    failed = true;
    return failure("EIO");
  };
  await assert.rejects(store(spool, "refused"), SpoolUnavailable);
  const after = await store(spool, "after");
  assert.notEqual(after.locator.segment, before.locator.segment);
  assert.equal(segmentFiles(room.directory).length, 2);
  // Another process, as after a restart.
  assert.deepEqual(await unsettledIds(room.open()), [before.meta.id, after.meta.id]);
});

test("that refused messages could not be wiped out is told", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files });
  faulty.judge = (call) => (call === "fdatasync" || call === "ftruncate" ? failure("EIO") : "do");
  await assert.rejects(store(spool, "refused"), SpoolUnavailable);
  assert.equal(room.faults[0]?.kind, "not-wiped");
});

test("a process that was taken for dead in mid-write writes again, under a new name", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files });
  const before = await store(spool, "before");
  faulty.judge = (call) => (call === "fdatasync" ? "freeze" : "do");
  const commit = store(spool, "paused");
  await waitFor("the write", () => faulty.counts.get("fdatasync") === 2);
  const writers = join(room.directory, "writers");
  for (const name of readdirSync(writers)) unlinkSync(join(writers, name));
  // Whoever took it for dead may remove the segment too, when all that it finds there is settled.
  const old = join(room.directory, "segments", `${before.locator.segment}.seg`);
  const size = statSync(old).size;
  unlinkSync(old);
  faulty.thaw();
  const stored = await commit;
  assert.notEqual(stored.locator.segment, before.locator.segment);
  assert.equal(await textOf(spool, stored), "paused");
  assert.ok(size > 0);
  assert.ok(room.faults.some(({ kind }) => kind === "fenced"));
  assert.equal(readdirSync(writers).length, 1);
});

test("segments are closed by size and by age", async (t) => {
  let nowMs = 1_700_000_000_000;
  const room = makeRoom(t);
  const spool = room.open({ segmentBytes: 10_000, segmentAgeMs: 60_000, nowMs: () => nowMs });
  await store(spool, Buffer.alloc(6000));
  await store(spool, Buffer.alloc(6000));
  await store(spool, "x");
  assert.equal(segmentFiles(room.directory).length, 2);
  const line = () => {
    const writer = readdirSync(join(room.directory, "writers"))[0] ?? "";
    return readFileSync(join(room.directory, "writers", writer), "utf8");
  };
  const before = line();
  nowMs += 60_010;
  await waitFor("the old segment to be closed", () => line().slice(0, 40) !== before.slice(0, 40));
  await store(spool, "y");
  assert.equal(segmentFiles(room.directory).length, 3);
});

test("every descriptor is closed with the spool", async (t) => {
  const faulty = faultyFiles();
  const room = makeRoom(t);
  const spool = room.open({ files: faulty.files, segmentBytes: 1000, largeBytes: 2000 });
  const draft = spool.draft();
  await draft.write(Buffer.alloc(5000));
  const all = await Promise.all([store(spool, "a"), store(spool, Buffer.alloc(9000)), store(spool, "c")]);
  for (const stored of all) await textOf(spool, stored);
  await spool.settle(all.map(({ meta }) => ({ id: meta.id, recipients: [0], state: { kind: "delivered" } })));
  await spool.states("x", true);
  await spool.collect();
  await spool.close();
  assert.equal(faulty.open.size, 0);
  assert.deepEqual(readdirSync(join(room.directory, "writers")), []);
  assert.deepEqual(
    readdirSync(join(room.directory, "large")),
    [],
    "the open draft and the settled body are gone",
  );
});
