import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SpoolFull, SpoolUnavailable } from "../../../shared/spool/spool.ts";
import { store, textOf, unsettledIds } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const segmentFiles = (directory: string) => readdirSync(join(directory, "segments")).sort();

test("messages that are ready together share one fdatasync and keep their order", async (t) => {
  const faulty = faultyFiles();
  const spool = makeSpoolFixture(t).open({ files: faulty.files });
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

test("a message is acknowledged only after its fdatasync", async (t) => {
  const faulty = faultyFiles();
  const spool = makeSpoolFixture(t).open({ files: faulty.files });
  faulty.decide = (call) => (call === "fdatasync" ? "freeze" : "do");
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
  const spool = makeSpoolFixture(t).open({ files: faulty.files });
  const calls: string[] = [];
  faulty.decide = (call, args) => {
    calls.push(call === "open" ? `open ${args[1]}` : call);
    return "do";
  };
  await store(spool, "x");
  const durable = calls.filter((call) => ["open wx", "fsync", "write", "writev", "fdatasync"].includes(call));
  // The first open makes the heartbeat file.
  // The last write says in the heartbeat file what is on stable storage.
  assert.deepEqual(durable.slice(-5), ["open wx", "fsync", "write", "fdatasync", "write"]);
});

for (const code of ["ENOSPC", "EDQUOT", "EIO", "EROFS"]) {
  test(`a write that fails with ${code} refuses its messages, and those before and after are kept`, async (t) => {
    const faulty = faultyFiles();
    const fixture = makeSpoolFixture(t);
    const spool = fixture.open({ files: faulty.files });
    const before = await store(spool, "before");
    faulty.decide = (call) => (call === "write" || call === "writev" ? failure(code) : "do");
    const expected = code === "ENOSPC" || code === "EDQUOT" ? SpoolFull : SpoolUnavailable;
    const results = await Promise.allSettled([store(spool, "a"), store(spool, "b")]);
    for (const result of results)
      assert.ok(result.status === "rejected" && result.reason instanceof expected);
    faulty.decide = () => "do";
    const after = await store(spool, "after");
    assert.deepEqual(await unsettledIds(spool), [before.meta.id, after.meta.id]);
    await spool.close();
    const again = fixture.open();
    assert.deepEqual(await unsettledIds(again), [before.meta.id, after.meta.id]);
    assert.equal(await textOf(again, after), "after");
    assert.deepEqual(fixture.faults, []);
  });
}

test("a batch of which only a part fits on the disk leaves nothing behind", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  const before = await store(spool, "before");
  const segment = join(fixture.directory, "segments", segmentFiles(fixture.directory)[0] ?? "");
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

test("after a failed fdatasync the segment is given up, and refused messages do not come back", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  const before = await store(spool, "before");
  let failed = false;
  faulty.decide = (call) => {
    if (call !== "fdatasync" || failed) return "do";
    failed = true;
    return failure("EIO");
  };
  await assert.rejects(store(spool, "refused"), SpoolUnavailable);
  const after = await store(spool, "after");
  assert.notEqual(after.locator.segment, before.locator.segment);
  assert.equal(segmentFiles(fixture.directory).length, 2);
  // Another process, as after a restart.
  assert.deepEqual(await unsettledIds(fixture.open()), [before.meta.id, after.meta.id]);
});

test("refused messages that could not be erased are reported", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  faulty.decide = (call) => (call === "fdatasync" || call === "ftruncate" ? failure("EIO") : "do");
  await assert.rejects(store(spool, "refused"), SpoolUnavailable);
  assert.equal(fixture.faults[0]?.kind, "not-wiped");
});

test("a process that was taken for dead during a write writes again under a new name", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  const before = await store(spool, "before");
  faulty.decide = (call) => (call === "fdatasync" ? "freeze" : "do");
  const commit = store(spool, "paused");
  await waitFor("the write", () => faulty.counts.get("fdatasync") === 2);
  const writers = join(fixture.directory, "writers");
  for (const name of readdirSync(writers)) unlinkSync(join(writers, name));
  // A process that took it for dead may remove the segment too, when all messages in it are settled.
  const old = join(fixture.directory, "segments", `${before.locator.segment}.seg`);
  const size = statSync(old).size;
  unlinkSync(old);
  faulty.thaw();
  const stored = await commit;
  assert.notEqual(stored.locator.segment, before.locator.segment);
  assert.equal(await textOf(spool, stored), "paused");
  assert.ok(size > 0);
  assert.ok(fixture.faults.some(({ kind }) => kind === "fenced"));
  assert.equal(readdirSync(writers).length, 1);
});

test("segments are closed by size and by age, also when the clock is set back meanwhile", async (t) => {
  let [nowMs, ageMs] = [1_700_000_000_000, 0];
  const fixture = makeSpoolFixture(t);
  const clocks = { nowMs: () => nowMs, monotonicMs: () => ageMs };
  const spool = fixture.open({ segmentBytes: 10_000, segmentAgeMs: 60_000, ...clocks });
  await store(spool, Buffer.alloc(6000));
  await store(spool, Buffer.alloc(6000));
  await store(spool, "x");
  assert.equal(segmentFiles(fixture.directory).length, 2);
  const line = () => {
    const writer = readdirSync(join(fixture.directory, "writers"))[0] ?? "";
    return readFileSync(join(fixture.directory, "writers", writer), "utf8");
  };
  const before = line();
  nowMs -= 3_600_000;
  ageMs += 60_010;
  await waitFor("the old segment to be closed", () => line().slice(0, 40) !== before.slice(0, 40));
  await store(spool, "y");
  assert.equal(segmentFiles(fixture.directory).length, 3);
});

test("every descriptor is closed with the spool", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files, segmentBytes: 1000, largeBytes: 2000 });
  const draft = spool.draft();
  await draft.write(Buffer.alloc(5000));
  const all = await Promise.all([store(spool, "a"), store(spool, Buffer.alloc(9000)), store(spool, "c")]);
  for (const stored of all) await textOf(spool, stored);
  await spool.settle(all.map(({ meta }) => ({ id: meta.id, recipients: [0], state: { kind: "delivered" } })));
  await spool.states("x", true);
  await spool.collect();
  await spool.close();
  assert.equal(faulty.open.size, 0);
  assert.deepEqual(readdirSync(join(fixture.directory, "writers")), []);
  assert.deepEqual(
    readdirSync(join(fixture.directory, "large")),
    [],
    "the open draft and the settled body are gone",
  );
});
