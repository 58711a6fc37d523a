import assert from "node:assert/strict";
import { test } from "node:test";
import { kindOf, parseTlsa, usableRecords } from "../../../../shared/smtp-client/dns/tlsa.ts";

const tlsa = (usage: number, selector: number, matching: number, octets: number) =>
  parseTlsa(Buffer.concat([Buffer.from([usage, selector, matching]), Buffer.alloc(octets, 7)]));
const kinds = (...records: Parameters<typeof usableRecords>[0]) => usableRecords(records).map(kindOf);

test("a record is usage, selector, matching type and data (RFC 6698 §2.1)", () => {
  const { data, ...head } = parseTlsa(Buffer.from("030101abcd", "hex"));
  assert.deepEqual(head, { usage: 3, selector: 1, matching: 1 });
  assert.equal(data.toString("hex"), "abcd");
});

test("usages 2 and 3 are usable with every selector and matching type (RFC 7672 §3.1)", () => {
  for (const usage of [2, 3]) {
    for (const selector of [0, 1]) {
      for (const [matching, octets] of [
        [0, 500],
        [1, 32],
        [2, 64],
      ] as const) {
        assert.deepEqual(kinds(tlsa(usage, selector, matching, octets)), [
          `${usage} ${selector} ${matching}`,
        ]);
      }
    }
  }
});

for (const [what, record] of [
  ["usage 0, PKIX-TA (RFC 7672 §3.1.3)", tlsa(0, 1, 1, 32)],
  ["usage 1, PKIX-EE (RFC 7672 §3.1.3)", tlsa(1, 1, 1, 32)],
  ["a usage that we do not know", tlsa(4, 1, 1, 32)],
  ["a selector that we do not know", tlsa(3, 2, 1, 32)],
  ["a matching type that we do not know", tlsa(3, 1, 3, 32)],
  ["a SHA-256 that is too short", tlsa(3, 1, 1, 31)],
  ["a SHA-256 that is too long", tlsa(3, 1, 1, 64)],
  ["a SHA-512 that is too short", tlsa(3, 1, 2, 32)],
  ["no data", tlsa(3, 1, 0, 0)],
  ["a record that is cut short", parseTlsa(Buffer.from([3, 1]))],
  ["an empty record", parseTlsa(Buffer.alloc(0))],
  ["what the codec did not understand", parseTlsa(undefined)],
] as const) {
  test(`not usable: ${what}`, () => assert.deepEqual(kinds(record), []));
}

test("of two digests for one usage and selector only the stronger counts (RFC 7671 §9)", () => {
  const weak = tlsa(3, 1, 1, 32);
  assert.deepEqual(kinds(weak, tlsa(3, 1, 2, 64)), ["3 1 2"]);
  assert.deepEqual(kinds(weak, tlsa(3, 0, 2, 64), tlsa(2, 1, 2, 64)), ["3 1 1", "3 0 2", "2 1 2"]);
  assert.deepEqual(kinds(weak, tlsa(3, 1, 2, 63)), ["3 1 1"]);
  assert.deepEqual(kinds(tlsa(3, 1, 0, 90), weak), ["3 1 0", "3 1 1"]);
});
