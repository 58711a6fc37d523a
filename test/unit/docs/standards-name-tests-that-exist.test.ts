import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url);

test("each test that docs/standards.md names is there, and each requirement names one", () => {
  const page = readFileSync(new URL("docs/standards.md", root), "utf8");
  const rows = page.split("\n").filter((line) => /^\| (?!---|requirement)/.test(line));
  assert.ok(rows.length > 50);
  for (const row of rows) {
    const named = [...row.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path ?? "");
    assert.ok(named.length > 0, `no test: ${row}`);
    for (const path of named) assert.ok(existsSync(new URL(path, root)), `${path} is not there`);
  }
});
