import assert from "node:assert/strict";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { GroupedReads, groupsOf } from "../../../shared/spool/fs/segments/grouped-reads.ts";
import { SpoolUnavailable } from "../../../shared/spool/spool.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const part = (offset: number, length: number) => ({ offset, length });

test("parts of a file that are near each other are read at once", () => {
  const grouped = (...parts: { offset: number; length: number }[]) =>
    groupsOf(parts).map(({ offset, length, reads }) => [offset, length, reads.length]);
  assert.deepEqual(grouped(part(100, 50)), [[100, 50, 1]]);
  assert.deepEqual(grouped(part(150, 50), part(100, 50)), [[100, 100, 2]], "in the order of the file");
  assert.deepEqual(grouped(part(0, 100), part(4196, 10)), [[0, 4206, 2]]);
  assert.deepEqual(grouped(part(0, 100), part(4197, 10)), [
    [0, 100, 1],
    [4197, 10, 1],
  ]);
  assert.deepEqual(grouped(part(0, 5000), part(0, 5000), part(0, 10)), [[0, 5000, 3]], "one message twice");
  assert.deepEqual(
    grouped(part(0, 100_000), part(100_000, 100_000)),
    [
      [0, 100_000, 1],
      [100_000, 100_000, 1],
    ],
    "a message keeps no more than 128 KB in memory",
  );
});

function openFile(t: TestContext, content: string) {
  const path = join(makeSpoolFixture(t).directory, "file");
  writeFileSync(path, content);
  const fd = openSync(path, "r");
  t.after(() => closeSync(fd));
  const faulty = faultyFiles();
  const reads = new GroupedReads(faulty.files);
  const read = async (offset: number, length: number) =>
    (await reads.read(fd, part(offset, length))).toString();
  return { faulty, read };
}

test("messages that are read in one turn share a read, and each gets its own octets", async (t) => {
  const { faulty, read } = openFile(t, "first second third");
  const texts = await Promise.all([read(13, 5), read(0, 5), read(6, 6), read(6, 0)]);
  assert.deepEqual(texts, ["third", "first", "second", ""]);
  assert.equal(faulty.counts.get("read"), 1);
  assert.equal(await read(6, 6), "second");
  assert.equal(faulty.counts.get("read"), 2);
});

test("a read gets the octets before the end of the file", async (t) => {
  const { read } = openFile(t, "0123456789");
  assert.deepEqual(await Promise.all([read(4, 100), read(2, 3), read(10, 5), read(50, 5)]), [
    "456789",
    "234",
    "",
    "",
  ]);
});

test("a bad sector fails the message in it, not its neighbours", async (t) => {
  const { faulty, read } = openFile(t, "first second third");
  faulty.decide = (call, [, , , length, position]) => {
    const end = Number(position) + Number(length);
    return call === "read" && Number(position) < 12 && end > 6 ? failure("EIO") : "do";
  };
  const [first, second, third] = await Promise.allSettled([read(0, 5), read(6, 6), read(13, 5)]);
  assert.equal(first?.status === "fulfilled" && first.value, "first");
  assert.ok(second?.status === "rejected" && second.reason instanceof SpoolUnavailable);
  assert.equal(third?.status === "fulfilled" && third.value, "third");
});
