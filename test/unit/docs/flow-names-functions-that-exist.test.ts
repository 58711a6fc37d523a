/** docs/flow.md is a walk through the source: each function that it names stands in the file that it names. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url);
const steps = [
  ...readFileSync(new URL("docs/flow.md", root), "utf8").matchAll(/`(\w+)` in `([\w./-]+\.ts)`/g),
].map(([, name = "", file = ""]) => ({ name, file }));

test("the walks name functions", () => {
  assert.ok(steps.length > 30, `${steps.length} steps`);
});

for (const { name, file } of steps) {
  test(`${name} is in ${file}`, () => {
    const source = readFileSync(new URL(file, root), "utf8");
    const declared = new RegExp(`(function|class|const) ${name}\\b|^  (async )?${name}\\(`, "m");
    assert.match(source, declared);
  });
}
