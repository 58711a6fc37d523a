import assert from "node:assert/strict";
import type { Stats } from "node:fs";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { nodeFiles, type SpoolFiles } from "../../../shared/spool/fs/disk/files.ts";
import { scanSegment } from "../../../shared/spool/fs/segments/scan.ts";
import { BatchLayout } from "../../../shared/spool/records/batch.ts";
import {
  headerLength,
  headSize,
  makeHead,
  placeSeed,
  readHeader,
} from "../../../shared/spool/records/record.ts";
import { someMeta } from "../../contract/spool.ts";
import type { Target } from "../engine/target.ts";

const name = "000000000-aaaaaaaaaaaa";
const seed = placeSeed(name);
const three = segmentOf([10, 300, 20]);

const target: Target = {
  about: "a segment of the spool: records with a torn end, flipped bits, and bodies that imitate records",
  cost: 5,
  maxOctets: 65_536,
  async check(input) {
    for (const closed of [false, true]) {
      const { ids, position, damaged } = await scan(input, closed);
      assert.ok(position <= input.length);
      for (const { offset, length } of damaged)
        assert.ok(offset >= 0 && length > 0 && offset + length <= input.length);
      // The records in front of the damage are found, whatever follows.
      assert.deepEqual((await scan(Buffer.concat([three, input]), closed)).ids.slice(0, 3), [
        "M0",
        "M1",
        "M2",
      ]);
      // Those behind it too, unless a header before them says with its checksum that they are its body.
      if (ids.length === 0 && damaged.length === 0 && position === 0 && !hasHeader(input))
        assert.deepEqual((await scan(Buffer.concat([input, three]), true)).ids, ["M0", "M1", "M2"]);
    }
    if (input.length >= headerLength) headSize(input);
  },
  seeds: [
    three,
    three.subarray(0, -7),
    segmentOf([0]),
    Buffer.alloc(100),
    Buffer.concat([three, Buffer.alloc(50)]),
  ],
  words: ["\x8fPSR", "\x01\x00", "\xff\xff\xff\xff", "\0\0\0\0"],
  repair(input) {
    // The first header gets the checksums that go with it.
    if (input.length < headerLength) return input;
    const whole = Buffer.from(input);
    Buffer.from([0x8f, 0x50, 0x53, 0x52, 1]).copy(whole);
    const text = whole.readUInt16LE(6) + whole.readUInt32LE(8) + whole.readUInt32LE(12);
    whole.writeUInt32LE(crc32(whole.subarray(headerLength, headerLength + text), seed), 28);
    whole.writeUInt32LE(crc32(whole.subarray(0, 36), seed), 36);
    return whole;
  },
  properties: {
    "one flipped bit costs one record at most": fc.asyncProperty(
      fc.array(fc.nat(400), { minLength: 1, maxLength: 6 }),
      fc.nat(),
      async (sizes, place) => {
        const octets = segmentOf(sizes);
        const at = Math.floor(place / 8) % octets.length;
        octets[at] = (octets[at] ?? 0) ^ (1 << (place % 8));
        const { ids } = await scan(octets, true);
        assert.ok(ids.length >= sizes.length - 1, `${ids} of ${sizes.length}`);
      },
    ),
  },
};
export default target;

function segmentOf(sizes: readonly number[]): Buffer {
  const records = sizes.map((size, n) => {
    const body = Buffer.alloc(size, "x");
    const meta = { ...someMeta(1, `M${n}`), receivedAtMs: 1 };
    return { head: makeHead(meta, { length: size, crc: crc32(body) }, {}), chunks: [body] };
  });
  return Buffer.concat(new BatchLayout().lay(records, name, 0).pieces);
}

function hasHeader(octets: Buffer): boolean {
  for (let at = 0; at + headerLength <= octets.length; at++)
    if (octets[at] === 0x8f && readHeader(octets, at, seed) !== undefined) return true;
  return octets.includes(0x8f, Math.max(0, octets.length - headerLength));
}

async function scan(octets: Buffer, closed: boolean) {
  const ids: string[] = [];
  const damaged: { offset: number; length: number }[] = [];
  const cursor = { position: 0, damaged: false };
  const files: SpoolFiles = {
    ...nodeFiles,
    open: (_path, _flags, _mode, done) => done(null, 1),
    close: (_fd, done) => done(null),
    fstat: (_fd, done) => done(null, { size: octets.length } as Stats),
    read: (_fd, into, at, length, position, done) =>
      done(null, octets.copy(into, at, position, position + length)),
  };
  const onFault = (fault: { kind: string; offset?: number; length?: number }) =>
    void damaged.push({ offset: fault.offset ?? 0, length: fault.length ?? 1 });
  for await (const group of scanSegment({ files, path: "x", segment: name, closed, onFault }, cursor))
    for (const record of group) ids.push(record.id);
  return { ids, position: cursor.position, damaged };
}
