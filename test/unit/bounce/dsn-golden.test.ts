/** The golden files of test/golden: `UPDATE_GOLDEN=1` writes them anew, to be read by a person before they are kept. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { buildDsn } from "../../../services/bounce/build-dsn.ts";
import { sampleDsns } from "./sample-dsns.ts";

for (const [name, dsn] of Object.entries(sampleDsns)) {
  test(`the notification ${name} reads as its golden file`, async () => {
    const url = new URL(`../../golden/dsn-${name}.eml`, import.meta.url);
    const { bytes } = buildDsn(dsn);
    if (process.env.UPDATE_GOLDEN === "1") await writeFile(url, bytes);
    assert.equal(bytes.toString("latin1"), await readFile(url, "latin1"));
  });
}
