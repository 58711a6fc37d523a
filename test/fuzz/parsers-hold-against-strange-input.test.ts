import assert from "node:assert/strict";
import { test } from "node:test";
import { corpusOf, targetNames } from "./engine/corpus.ts";
import type { Outcome } from "./engine/order.ts";
import { watch } from "./engine/watch.ts";

const order = { runs: 300, cases: 40, explores: false };
const whatFailed = (outcome: Outcome) =>
  outcome.kind === "passed"
    ? ""
    : `${outcome.what}\n${Buffer.from(outcome.input ?? [])
        .toString("base64")
        .slice(0, 4000)}`;

for (const target of targetNames())
  test(`${target}: what failed once, long inputs, generated ones and changed ones end as they should`, async (t) => {
    const random = Math.floor(Math.random() * 2 ** 31);
    t.diagnostic(
      `seeds 1 and ${random}; a failure again: npm run fuzz -- --target ${target} --seed ${random}`,
    );
    assert.ok(corpusOf(target).every(({ input }) => input.length <= 65_536));
    for (const seed of [1, random]) {
      const outcome = await watch({ ...order, target, seed, skipsLong: seed !== 1 });
      assert.equal(outcome.kind, "passed", `seed ${seed}: ${whatFailed(outcome)}`);
    }
  });
