/** Octets that do not match their checksums are read a second time, by another descriptor or without the local copy, before mail counts as damaged. */
import assert from "node:assert/strict";
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { SpoolCorrupt, SpoolUnavailable } from "../../../shared/spool/spool.ts";
import { bodyOf, store, textOf } from "../../contract/spool.ts";
import { flipBit } from "../../support/damage.ts";
import { faultyFiles } from "./faulty-files.ts";
import { makeS3Fixture } from "./s3/s3-fixture.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

/**
 * What a shared file system does: descriptors that are open go on seeing `stale`, and whoever opens the file sees what is there.
 * @returns makes it so
 */
function makeStale(path: string): (stale: (octets: Buffer) => Buffer) => void {
  return (stale) => {
    const octets = readFileSync(path);
    const old = stale(octets);
    // In place: a read that is under way must not find the file empty for a moment.
    const fd = openSync(path, "r+");
    writeSync(fd, old, 0, old.length, 0);
    ftruncateSync(fd, old.length);
    closeSync(fd);
    writeFileSync(`${path}.new`, octets);
    renameSync(`${path}.new`, path);
  };
}

const zeros = (octets: Buffer): Buffer => Buffer.alloc(octets.length);
const cutShort = (octets: Buffer): Buffer => octets.subarray(0, octets.length - 5);
const withoutRecord = (octets: Buffer): Buffer => octets.subarray(0, 10);

test("a segment that was opened before its records were seen is opened anew", async (t) => {
  const fixture = makeSpoolFixture(t);
  const writer = fixture.open();
  const stored = await store(writer, Buffer.from("Hello.\r\n"));
  await writer.close();
  const { id } = stored.meta;
  const segment = join(fixture.directory, "segments", `${stored.locator.segment}.seg`);
  for (const stale of [zeros, cutShort, withoutRecord]) {
    const reader = fixture.open();
    await reader.read(id, stored.locator);
    makeStale(segment)(stale);
    assert.equal(await textOf(reader, stored), "Hello.\r\n", stale.name);
    makeStale(segment)(stale);
    assert.equal((await reader.readMeta(id, stored.locator))?.id, id, stale.name);
    await reader.close();
  }
  assert.deepEqual(fixture.faults, []);
});

test("damage that is on the disk is read twice, and no more", async (t) => {
  const faulty = faultyFiles();
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ files: faulty.files });
  const stored = await store(spool, Buffer.from("Hello.\r\n"));
  await textOf(spool, stored);
  flipBit(fixture.directory, stored, -3);
  const before = faulty.counts.get("open") ?? 0;
  await assert.rejects(spool.read(stored.meta.id, stored.locator), (error: Error) => {
    assert.ok(error instanceof SpoolCorrupt);
    assert.match(error.message, /the body does not match its checksum$/);
    return true;
  });
  assert.equal((faulty.counts.get("open") ?? 0) - before, 1);
});

/** A large message, and the file of its body. */
async function storeLarge(t: TestContext) {
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open({ largeBytes: 1000 });
  const text = Buffer.alloc(2_000_000, "abcdefgh");
  const stored = await store(spool, text);
  const directory = join(fixture.directory, "large");
  const [name = ""] = readdirSync(directory);
  const open = async () => {
    const found = await spool.read(stored.meta.id, stored.locator);
    assert.equal(found?.body.kind, "file");
    return found?.body.kind === "file" ? found.body.open() : assert.fail();
  };
  return { text, open, path: join(directory, name), makeStale: makeStale(join(directory, name)) };
}

test("a large body of which old octets were read fails that attempt only", async (t) => {
  const { text, open, makeStale } = await storeLarge(t);
  for (const [stale, why] of [
    [zeros, /does not match its checksum as it was read first/],
    [cutShort, /is cut short as it was read first/],
  ] as const) {
    const stream = await open();
    const read = async (): Promise<void> => {
      let isFirst = true;
      for await (const _ of stream) {
        if (isFirst) makeStale(stale);
        isFirst = false;
      }
    };
    await assert.rejects(read(), (error: Error) => {
      assert.ok(error instanceof SpoolUnavailable, error.message);
      assert.match(error.message, why);
      return true;
    });
  }
  assert.ok((await buffer(await open())).equals(text));
});

test("a large body that is damaged on the disk stays so when it is read again", async (t) => {
  const { open, path } = await storeLarge(t);
  const octets = readFileSync(path);
  octets[1_000_000] = (octets[1_000_000] ?? 0) ^ 1;
  writeFileSync(path, octets);
  const stream = await open();
  await assert.rejects(buffer(stream), SpoolCorrupt);
});

/** A message in a store, the object with its record, and a spool that has not read it. */
async function storeInStore(t: TestContext) {
  const fixture = await makeS3Fixture(t);
  const stored = await store(await fixture.open(), Buffer.from("Hello.\r\n"));
  const reader = await fixture.open();
  const object = fixture.store.objects.get(stored.locator.segment);
  assert.ok(object);
  const whole = object.bytes;
  return { fixture, stored, reader, object, whole };
}

test("a store that once gives the octets of another record is asked again", async (t) => {
  const { fixture, stored, reader, object, whole } = await storeInStore(t);
  let reads = 0;
  /** From this read on the store has what was stored. */
  let wholeFrom = 2;
  fixture.proxy.decide = ({ method, path }) => {
    if (method === "GET" && path.includes("messages")) {
      reads++;
      object.bytes = reads < wholeFrom ? zeros(whole) : whole;
    }
    return undefined;
  };
  assert.equal(await textOf(reader, stored), "Hello.\r\n");
  assert.equal(reads, 2);
  wholeFrom = Number.POSITIVE_INFINITY;
  await assert.rejects(textOf(reader, stored), SpoolCorrupt);
  // The record twice, and its envelope twice, since the body of a settled message may be gone.
  assert.equal(reads, 6);
});

test("a scan whose first read of an object is damaged reports no damage", async (t) => {
  const { fixture, stored, reader, object, whole } = await storeInStore(t);
  const damaged = Buffer.from(whole);
  damaged[100] = (damaged[100] ?? 0) ^ 1;
  let reads = 0;
  let isDamaged = (): boolean => reads % 2 === 1;
  fixture.proxy.decide = ({ method, path }) => {
    if (method === "GET" && path.includes(`/${stored.locator.segment}`)) {
      reads++;
      object.bytes = isDamaged() ? damaged : whole;
    }
    return undefined;
  };
  const listed = async () => {
    const found: string[] = [];
    for await (const { meta } of reader.unsettled({
      onUnreadable: ({ id }) => found.push(`unreadable ${id}`),
    }))
      found.push(meta.id);
    return found;
  };
  const { id } = stored.meta;
  assert.deepEqual(await listed(), [id]);
  assert.deepEqual(fixture.faults, []);
  // What stays damaged is reported as before.
  isDamaged = () => true;
  assert.deepEqual(await listed(), [`unreadable ${id}`]);
});

test("a large body whose local copy is damaged is read from the store by the next attempt", async (t) => {
  const fixture = await makeS3Fixture(t);
  const directory = fixture.directory();
  const spool = await fixture.open({ directory });
  const text = Buffer.alloc(200_000, "abcdefgh");
  const stored = await store(spool, text);
  const name = readdirSync(directory).find((each) => each.startsWith("bodies"));
  assert.ok(name);
  const damaged = Buffer.from(text);
  damaged[100_000] = 0;
  writeFileSync(join(directory, name), damaged);
  await assert.rejects(textOf(spool, stored), SpoolUnavailable);
  assert.ok(!readdirSync(directory).includes(name), "the copy is removed");
  const found = await spool.read(stored.meta.id, stored.locator);
  assert.ok(found && (await bodyOf(found.body)).equals(text));
  const [key = ""] = fixture.keys("bodies/");
  fixture.store.objects.set(key, { bytes: damaged, modifiedMs: Date.now() });
  await assert.rejects(textOf(spool, stored), SpoolCorrupt);
});
