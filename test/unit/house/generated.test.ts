import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { generatedFiles } from "../../../scripts/generate.ts";

for (const [file, text] of Object.entries(generatedFiles())) {
  test(`${file} is what the source says; else run: npm run generate`, () => {
    assert.equal(readFileSync(new URL(`../../../${file}`, import.meta.url), "utf8"), text);
  });
}
