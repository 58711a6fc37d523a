import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url);

for (const [file, atLeast] of [
  ["docs/standards.md", 50],
  ["docs/security.md", 2],
] as const) {
  test(`each test that ${file} names is there, and each row names one`, () => {
    const page = readFileSync(new URL(file, root), "utf8");
    const rows = page.split("\n").filter((line) => /^\| (?!---|requirement|attack or fault)/.test(line));
    assert.ok(rows.length >= atLeast);
    for (const row of rows) {
      const named = [...row.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path ?? "");
      assert.ok(named.length > 0, `no test: ${row}`);
      for (const path of named) assert.ok(existsSync(new URL(path, root)), `${path} is not there`);
    }
  });
}

test("each failure that docs/durability.md lists has a test", () => {
  const page = readFileSync(new URL("docs/durability.md", root), "utf8");
  const [, table = ""] = /^## Each failure\n\n((?:\|.*\n)+)/m.exec(page) ?? [];
  const rows = table.trimEnd().split("\n").slice(2);
  assert.ok(rows.length >= 10, `${rows.length} rows`);
  for (const row of rows) assert.match(row, /`test\/[^`]+\.test\.ts`/);
});
