import assert from "node:assert/strict";
import { test } from "node:test";
import { readTyped } from "../../../services/cli/user/read-password.ts";

test("a line ends with Return or Ctrl-D; what was typed behind it is kept", () => {
  assert.deepEqual(readTyped("secret\rmore"), { kind: "line", line: "secret", rest: "more" });
  assert.deepEqual(readTyped("secret\n"), { kind: "line", line: "secret", rest: "" });
  assert.deepEqual(readTyped("\u0004"), { kind: "line", line: "", rest: "" });
  assert.deepEqual(readTyped("secr"), { kind: "open" });
});

test("backspace takes the last character back, Ctrl-U all of them, Ctrl-C gives up", () => {
  assert.deepEqual(readTyped("ab\u007fc\r"), { kind: "line", line: "ac", rest: "" });
  assert.deepEqual(readTyped("\u{1f511}\b\bx\r"), { kind: "line", line: "x", rest: "" });
  assert.deepEqual(readTyped("wrong\u0015right\r"), { kind: "line", line: "right", rest: "" });
  assert.deepEqual(readTyped("ab\u0003"), { kind: "interrupted" });
});
