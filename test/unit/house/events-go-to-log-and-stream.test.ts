import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

test("every event is written by one function, so that the log and the stream of events cannot differ", () => {
  const root = new URL("../../../", import.meta.url).pathname;
  const files = globSync("{services,shared}/**/*.ts", { cwd: root });
  assert.ok(files.length > 300);
  const around = files.filter((file) =>
    /\blog(?:\.\w+|\[[^\]]+\])\(\s*\{[^}]*\bevent\b/.test(readFileSync(`${root}${file}`, "utf8")),
  );
  assert.deepEqual(around, []);
});
