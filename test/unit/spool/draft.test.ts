import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SpoolCorrupt, SpoolFull } from "../../../shared/spool/spool.ts";
import { bodyOf, someMeta, store, textOf } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const largeFiles = (directory: string) => readdirSync(join(directory, "large"));

test("a body above the threshold goes to a file of its own, one at the threshold does not", async (t) => {
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ largeBytes: 10_000 });
  const small = await store(spool, Buffer.alloc(10_000));
  assert.deepEqual(largeFiles(fixture.directory), []);
  assert.equal((await spool.read(small.meta.id, small.locator))?.body.kind, "buffer");
  const large = await store(spool, Buffer.alloc(10_001));
  assert.equal(largeFiles(fixture.directory).length, 1);
  assert.equal((await spool.read(large.meta.id, large.locator))?.body.kind, "file");
  assert.ok(large.locator.length < 1000);
});

test("a slow disk slows the sender down", async (t) => {
  const faulty = faultyFiles();
  const spool = makeSpoolFixture(t).open({ files: faulty.files, largeBytes: 1000 });
  const draft = spool.draft();
  await draft.write(Buffer.alloc(2000));
  faulty.decide = (call) => (call === "write" || call === "writev" ? "freeze" : "do");
  let waiting: Promise<void> | undefined;
  for (let n = 0; n < 50 && waiting === undefined; n++) waiting = draft.write(Buffer.alloc(100_000));
  assert.ok(waiting, "after a few hundred kilobytes write() returns a promise");
  assert.ok(draft.size < 3_000_000);
  faulty.thaw();
  await waiting;
  await draft.commit(someMeta());
});

test("the memory of all drafts together is bounded", async (t) => {
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ largeBytes: 100_000, draftMemoryBytes: 150_000 });
  const drafts = [spool.draft(), spool.draft(), spool.draft()];
  for (const draft of drafts) await draft.write(Buffer.alloc(60_000, "x"));
  await waitFor("the third body in a file", () => largeFiles(fixture.directory).length === 1);
  const stored = await Promise.all(drafts.map((draft) => draft.commit(someMeta())));
  for (const one of stored) assert.equal((await textOf(spool, one)).length, 60_000);
  await store(spool, Buffer.alloc(90_000));
  assert.equal(largeFiles(fixture.directory).length, 1, "committed messages do not count any more");
});

test("a body that arrives octet by octet does not need a buffer for each octet", async (t) => {
  const spool = makeSpoolFixture(t).open({ draftMemoryBytes: 100_000 });
  const octets = randomBytes(20_000);
  const draft = spool.draft();
  const reused = Buffer.alloc(1);
  for (const octet of octets) {
    reused[0] = octet;
    await draft.write(reused);
  }
  const { meta, locator } = await draft.commit(someMeta());
  const message = await spool.read(meta.id, locator);
  assert.ok(message && (await bodyOf(message.body)).equals(octets));
});

test("a large body is durable, and its name too, before its record is written", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files, largeBytes: 1000 });
  await store(spool, "the segment is there");
  const calls: string[] = [];
  faulty.decide = (call) => {
    if (["write", "writev", "fdatasync", "fsync"].includes(call)) calls.push(call.replace("writev", "write"));
    return "do";
  };
  await store(spool, Buffer.alloc(5000));
  // The last write says in the heartbeat file what is on stable storage.
  assert.deepEqual(calls, ["write", "fdatasync", "fsync", "write", "fdatasync", "write"]);
});

test("a large body that cannot be written refuses its message and leaves no file", async (t) => {
  for (const failing of ["write", "fdatasync", "fsync"]) {
    const faulty = faultyFiles();
    const fixture = makeSpoolFixture(t);
    const spool = fixture.open({ files: faulty.files, largeBytes: 1000 });
    await store(spool, "the segment is there");
    faulty.decide = (call) => (call === failing ? failure("ENOSPC") : "do");
    await assert.rejects(store(spool, Buffer.alloc(5000)), SpoolFull);
    faulty.decide = () => "do";
    assert.deepEqual(largeFiles(fixture.directory), [], failing);
  }
});

test("when a record is refused, its large body is removed", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files, largeBytes: 1000 });
  const draft = spool.draft();
  await draft.write(Buffer.alloc(5000));
  await waitFor("the body's file", () => largeFiles(fixture.directory).length === 1);
  faulty.decide = (call, args) =>
    call === "open" && String(args[0]).endsWith(".seg") ? failure("EMFILE") : "do";
  await assert.rejects(draft.commit(someMeta()), { name: "SpoolUnavailable" });
  assert.deepEqual(largeFiles(fixture.directory), []);
});

test("a large body that was damaged, cut short or lost is detected", async (t) => {
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ largeBytes: 1000 });
  const stored = await store(spool, Buffer.alloc(600_000, "a"));
  const path = join(fixture.directory, "large", largeFiles(fixture.directory)[0] ?? "");
  const octets = readFileSync(path);
  octets[599_999] = 0;
  writeFileSync(path, octets);
  // A delivery that streams it ends with an error before the last octet.
  await assert.rejects(textOf(spool, stored), SpoolCorrupt);
  truncateSync(path, 1000);
  await assert.rejects(spool.read(stored.meta.id, stored.locator), SpoolCorrupt);
  unlinkSync(path);
  await assert.rejects(spool.read(stored.meta.id, stored.locator), SpoolCorrupt);
});

test("no message is begun when less than the reserved space is free", async (t) => {
  const spool = makeSpoolFixture(t).open({ minFreeBytes: Number.MAX_SAFE_INTEGER });
  await waitFor("the free space to be known", () => {
    try {
      void spool.draft().discard();
      return false;
    } catch (error) {
      return error instanceof SpoolFull;
    }
  });
});
