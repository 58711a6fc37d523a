import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import {
  bodyOffset,
  headerLength,
  headLength,
  makeHead,
  placeSeed,
  readHeader,
  readText,
  recordLength,
  writeHead,
} from "../../../shared/spool/records/record.ts";
import { someMeta } from "../../contract/spool.ts";

const seed = placeSeed("somewhere");
const meta = someMeta(3);
const settles = { id: "X", recipients: [1], state: { kind: "bounced" as const }, timestamp: 7 };

function encoded(): { octets: Buffer; checksum: number } {
  const head = makeHead(meta, { length: 5, crc: crc32("hello") }, { settles });
  const octets = Buffer.alloc(headLength(head) + 3);
  return { checksum: writeHead(octets, 3, head, seed), octets };
}

test("a record's head reads back as it was written", () => {
  const { octets, checksum } = encoded();
  const header = readHeader(octets, 3, seed);
  assert.ok(header);
  assert.equal(header.checksum, checksum);
  assert.equal(header.recipients, 3);
  assert.equal(bodyOffset(header), octets.length - 3);
  assert.equal(recordLength(header), octets.length - 3 + 5);
  const text = readText(octets, 3, header, seed);
  assert.equal(text?.id, meta.id);
  assert.deepEqual(text?.meta(), meta);
  assert.deepEqual(text?.extra, { settles });
});

test("every flipped bit of a record's head is detected", () => {
  const { octets } = encoded();
  for (let at = 3; at < octets.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      octets[at] = (octets[at] ?? 0) ^ (1 << bit);
      const header = readHeader(octets, 3, seed);
      if (at < 3 + headerLength) assert.equal(header, undefined, `octet ${at}, bit ${bit}`);
      else assert.ok(header && readText(octets, 3, header, seed) === undefined, `octet ${at}, bit ${bit}`);
      octets[at] = (octets[at] ?? 0) ^ (1 << bit);
    }
  }
});

test("a record does not count in another place", () => {
  assert.equal(readHeader(encoded().octets, 3, placeSeed("elsewhere")), undefined);
});
