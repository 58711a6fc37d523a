/** docs/operations.md explains log messages: each of them stands in the source as it is quoted. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url).pathname;
const source = globSync(["shared/**/*.ts", "services/**/*.ts"], { cwd: root })
  .map((file) => readFileSync(path.join(root, file), "utf8"))
  .join("\n");
const page = readFileSync(path.join(root, "docs/operations.md"), "utf8");
const [, table = ""] = /^Messages without an event[^\n]*\n\n([\s\S]*?)\n\n/m.exec(page) ?? [];
const messages = [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, message = ""]) => message);

test("the page explains messages", () => {
  assert.ok(messages.length > 5, `${messages.length} messages`);
});

for (const message of messages) {
  test(`the log says "${message}"`, () => {
    // NAME and … stand for what differs from line to line.
    for (const words of message.split(/…|\b[A-Z]{4,}\b/)) assert.ok(source.includes(words.trim()), words);
  });
}
