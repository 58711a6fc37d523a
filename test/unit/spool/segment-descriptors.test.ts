import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { placesIn } from "../../../shared/spool/fs/disk/names.ts";
import { SegmentDescriptors } from "../../../shared/spool/fs/segments/segment-descriptors.ts";
import { SpoolUnavailable } from "../../../shared/spool/spool.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

function makeDescriptors(t: TestContext) {
  const places = placesIn(makeSpoolFixture(t).directory);
  mkdirSync(places.segments);
  const faulty = faultyFiles();
  const descriptors = new SegmentDescriptors(faulty.files, places, (fault) => assert.fail(fault.kind));
  t.after(() => descriptors.close());
  const write = (name: string) => writeFileSync(join(places.segments, `${name}.seg`), name);
  return { descriptors, faulty, write };
}

test("reads of one segment share a descriptor, which is closed with the spool", async (t) => {
  const { descriptors, faulty, write } = makeDescriptors(t);
  write("a");
  const fds = await Promise.all([1, 2, 3].map(() => descriptors.use("a", async (fd) => fd)));
  assert.equal(new Set(fds).size, 1);
  assert.equal(faulty.counts.get("open"), 1);
  assert.equal(faulty.open.size, 1);
  await descriptors.close();
  assert.equal(faulty.open.size, 0);
});

test("a segment that is gone is no error, and is looked for again", async (t) => {
  const { descriptors, write } = makeDescriptors(t);
  assert.equal(await descriptors.use("a", async () => "read"), undefined);
  write("a");
  assert.equal(await descriptors.use("a", async () => "read"), "read");
});

test("a segment that cannot be opened fails its reads, and is tried again", async (t) => {
  const { descriptors, faulty, write } = makeDescriptors(t);
  write("a");
  faulty.decide = () => failure("EMFILE");
  const reads = [1, 2].map(() => descriptors.use("a", async () => "read"));
  for (const read of reads) await assert.rejects(read, SpoolUnavailable);
  faulty.decide = () => "do";
  assert.equal(await descriptors.use("a", async () => "read"), "read");
});

test("many segments keep few descriptors open, and none is closed while it is read", async (t) => {
  const { descriptors, faulty, write } = makeDescriptors(t);
  const names = Array.from({ length: 100 }, (_, n) => `segment${n}`);
  for (const name of names) write(name);
  let finish = (): void => {};
  const wait = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const slow = descriptors.use("segment0", async (fd) => {
    await wait;
    return readFileSync(fd, "utf8");
  });
  for (const name of names.slice(1)) await descriptors.use(name, async () => {});
  assert.ok(faulty.open.size <= 70, `${faulty.open.size} are open`);
  finish();
  assert.equal(await slow, "segment0");
});

test("a descriptor is not shared for long, so that a removed segment is not read for long", async (t) => {
  const { descriptors, faulty, write } = makeDescriptors(t);
  write("a");
  let nowMs = 0;
  t.mock.method(performance, "now", () => nowMs);
  await descriptors.use("a", async () => {});
  nowMs = 9000;
  await descriptors.use("a", async () => {});
  assert.equal(faulty.counts.get("open"), 1);
  nowMs = 11_000;
  await descriptors.use("a", async () => {});
  assert.equal(faulty.counts.get("open"), 2);
  nowMs = 30_000;
  descriptors.closeOld();
  await descriptors.close();
  assert.equal(faulty.open.size, 0);
});
