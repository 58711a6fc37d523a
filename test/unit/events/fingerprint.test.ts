import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeNumber, encodeNumber, fingerprint } from "../../../shared/events/fingerprint.ts";

test("numbers survive their text", () => {
  for (const value of [0, 1, 63, 64, 999, 4095]) assert.equal(decodeNumber(encodeNumber(value, 2)), value);
});

test("similar words have different fingerprints, spread over all shards", () => {
  const seen = new Set<string>();
  const shards = new Array(256).fill(0);
  for (let index = 0; index < 100_000; index++) {
    const { shard, text } = fingerprint(`user${index}@example.com`, 256);
    assert.equal(text.length, 8);
    shards[shard]++;
    seen.add(`${shard} ${text}`);
  }
  assert.equal(seen.size, 100_000);
  assert.ok(Math.max(...shards) < 2 * (100_000 / 256), String(Math.max(...shards)));
});
