import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { corpusOf, targetNames } from "./engine/corpus.ts";
import type { Outcome } from "./engine/order.ts";
import { watch } from "./engine/watch.ts";

/** Another one after each change that users hear of, and the same wherever this tree is tested. */
const seedOfTree = crc32(readFileSync(new URL("../../CHANGELOG.md", import.meta.url))) >>> 1;
const order = { runs: 300, cases: 40, explores: false };
const whatFailed = (outcome: Outcome) =>
  outcome.kind === "passed"
    ? ""
    : `${outcome.what}\n${Buffer.from(outcome.input ?? [])
        .toString("base64")
        .slice(0, 4000)}`;

for (const target of targetNames())
  test(`${target}: what failed once, long inputs, generated ones and changed ones end as they should`, async (t) => {
    t.diagnostic(`seeds 1 and ${seedOfTree}; further ones: npm run fuzz -- --target ${target}`);
    assert.ok(corpusOf(target).every(({ input }) => input.length <= 65_536));
    for (const seed of [1, seedOfTree]) {
      const outcome = await watch({ ...order, target, seed, skipsLong: seed !== 1 });
      assert.equal(outcome.kind, "passed", `seed ${seed}: ${whatFailed(outcome)}`);
    }
  });
