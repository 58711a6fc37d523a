import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { crc32 } from "node:zlib";
import type { SpoolFault } from "../../../shared/spool/fault.ts";
import { nodeFiles, type SpoolFiles } from "../../../shared/spool/fs/disk/files.ts";
import { scanSegment } from "../../../shared/spool/fs/segments/scan.ts";
import { BatchLayout } from "../../../shared/spool/records/batch.ts";
import { makeHead } from "../../../shared/spool/records/record.ts";
import { someMeta } from "../../contract/spool.ts";

const directory = mkdtempSync(join(tmpdir(), "postern-scan-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const path = join(directory, "one.seg");
const segment = "000000000-aaaaaaaaaaaa";

function segmentOf(bodies: Buffer[], name = segment, recipients = 1) {
  const records = bodies.map((body, n) => ({
    head: makeHead(someMeta(recipients, `M${n}`), { length: body.length, crc: crc32(body) }, {}),
    chunks: [body],
  }));
  const { pieces, locators } = new BatchLayout().lay(records, name, 0);
  return { octets: Buffer.concat(pieces), locators };
}

async function scan(octets: Buffer, closed = true) {
  writeFileSync(path, octets);
  const ids: string[] = [];
  const faults: SpoolFault[] = [];
  const cursor = { position: 0, damaged: false };
  const options = {
    files: nodeFiles,
    path,
    segment,
    closed,
    onFault: (t: SpoolFault) => void faults.push(t),
  };
  for await (const group of scanSegment(options, cursor))
    for (const record of group) {
      assert.equal(record.meta().id, record.id);
      ids.push(record.id);
    }
  return { ids, faults, cursor };
}

const ids = (count: number, without?: number) =>
  Array.from({ length: count }, (_, n) => `M${n}`).filter((id) => id !== `M${without}`);

test("all records of a segment are found, whatever their sizes", async () => {
  const sizes = [0, 1, 100, 5000, 300_000, 3, 2_000_000, 17, 130_000, 130_000, 130_000, 20];
  const { octets } = segmentOf(sizes.map((size) => Buffer.alloc(size, "x")));
  assert.deepEqual((await scan(octets)).ids, ids(sizes.length));
  const many = segmentOf(Array.from({ length: 3000 }, (_, n) => Buffer.alloc(n % 2000, "y")));
  assert.deepEqual((await scan(many.octets)).ids, ids(3000));
});

test("of long messages the envelopes are read, and not the bodies", async () => {
  const { octets } = segmentOf(Array.from({ length: 200 }, () => Buffer.alloc(100_000, "x")));
  writeFileSync(path, octets);
  let read = 0;
  const files: SpoolFiles = {
    ...nodeFiles,
    read(fd, into, at, length, position, done) {
      nodeFiles.read(fd, into, at, length, position, (error, count) => {
        read += count;
        done(error, count);
      });
    },
  };
  const options = { files, path, segment, closed: true, onFault: () => {} };
  let found = 0;
  for await (const group of scanSegment(options)) found += group.length;
  assert.equal(found, 200);
  assert.ok(read < 2_500_000, `${read} of ${octets.length} octets were read`);
});

test("an envelope larger than a read is found", async () => {
  const { octets } = segmentOf([Buffer.from("a"), Buffer.from("b")], segment, 60_000);
  assert.ok(octets.length > 2 * 1024 * 1024);
  assert.deepEqual((await scan(octets)).ids, ids(2));
});

test("an incomplete record at the end is no damage, wherever it was cut", async () => {
  const { octets, locators } = segmentOf([Buffer.from("first"), Buffer.from("second")]);
  const second = locators[1]?.offset ?? 0;
  for (let length = second; length < octets.length; length++) {
    const { ids: found, faults, cursor } = await scan(octets.subarray(0, length));
    assert.deepEqual(found, ["M0"]);
    assert.deepEqual(faults, []);
    assert.equal(cursor.position, second);
  }
  const blank = Buffer.concat([octets, Buffer.alloc(9000)]);
  assert.deepEqual((await scan(blank)).faults, []);
});

test("a damaged record is reported and the others are found", async () => {
  const { octets, locators } = segmentOf(Array.from({ length: 5 }, () => Buffer.alloc(600, "z")));
  for (const n of [0, 2, 4]) {
    const at = locators[n]?.offset ?? 0;
    for (let octet = 0; octet < 300; octet += 7) {
      const damaged = Buffer.from(octets);
      damaged[at + octet] = (damaged[at + octet] ?? 0) ^ 0x10;
      const { ids: found, faults, cursor } = await scan(damaged);
      assert.deepEqual(found, ids(5, n), `record ${n}, octet ${octet}`);
      assert.equal(faults.length, 1);
      assert.ok(cursor.damaged);
    }
  }
});

test("records after much damage are found", async () => {
  const { octets, locators } = segmentOf([
    Buffer.from("a"),
    Buffer.alloc(3_000_000, "b"),
    Buffer.from("c"),
    Buffer.from("d"),
  ]);
  octets.fill(0xff, locators[1]?.offset, (locators[1]?.offset ?? 0) + 2_500_000);
  const { ids: found, faults } = await scan(octets);
  assert.deepEqual(found, ["M0", "M2", "M3"]);
  assert.equal(faults.length, 1);
});

test("a body that holds a record is not taken for one when its own record is damaged", async () => {
  const forged = segmentOf([Buffer.from("forged")], "000000001-bbbbbbbbbbbb").octets;
  const { octets } = segmentOf([forged, Buffer.from("next")]);
  octets[10] = 0xaa;
  assert.deepEqual((await scan(octets)).ids, ["M1"]);
});

test("an incomplete record of a living writer is awaited, not reported", async () => {
  const { octets, locators } = segmentOf([Buffer.from("first"), Buffer.from("second")]);
  const damaged = Buffer.from(octets);
  damaged.fill(1, locators[1]?.offset);
  const { ids: found, faults, cursor } = await scan(damaged, false);
  assert.deepEqual(found, ["M0"]);
  assert.deepEqual(faults, []);
  assert.equal(cursor.position, locators[1]?.offset);
});
