import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { headerSection, readStart } from "../../../shared/spool/header-section.ts";

test("the header section ends at the first empty line", () => {
  const section = (text: string) => headerSection(Buffer.from(text)).toString();
  assert.equal(section("A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore"), "A: 1\r\nB: 2\r\n");
  assert.equal(section("\r\nbody: not a field\r\n"), "");
  assert.equal(section("A: 1\r\n"), "A: 1\r\n");
  assert.equal(section(""), "");
});

test("of a message in a file only the start is read, and the file is closed", async () => {
  let destroyed = false;
  const open = () =>
    new Readable({
      read() {
        this.push(Buffer.from(`X-Padding: ${"x".repeat(1000)}\r\n`));
      },
      destroy(_error, done) {
        destroyed = true;
        done(null);
      },
    });
  const start = await readStart({ kind: "file", size: 1e9, open }, 64 * 1024);
  assert.equal(start.length, 64 * 1024);
  assert.ok(destroyed);
});
