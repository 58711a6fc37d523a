import assert from "node:assert/strict";
import { test } from "node:test";
import { displayWidth, printable, renderTable, truncate } from "../../../services/cli/command-line/table.ts";

const columns = [
  { title: "ID", value: (row: string[]) => row[0] ?? "" },
  { title: "REASON", value: (row: string[]) => row[1] ?? "", shrinkTo: 8 },
  { title: "N", value: (row: string[]) => row[2] ?? "", align: "right" as const },
];

test("a table keeps to the width of the terminal and never cuts an id", () => {
  const rows = [
    ["01HZX4QDF", "450 4.2.0 greylisted ".repeat(20), "12"],
    ["01HZX4QDG", "", "1"],
  ];
  for (const width of [40, 80, 200]) {
    const lines = renderTable(columns, rows, width);
    assert.equal(lines.length, 3);
    for (const line of lines) assert.ok(displayWidth(line) <= width, line);
    assert.ok(lines[1]?.startsWith("01HZX4QDF  450"));
    assert.ok(lines[1]?.includes("…"));
    assert.ok(lines[1]?.endsWith("12"));
  }
});

test("numbers are aligned to the right, below their title", () => {
  assert.deepEqual(
    renderTable(
      columns,
      [
        ["A", "ok", "7"],
        ["B", "ok", "12"],
      ],
      80,
    ),
    ["ID  REASON   N", "A   ok       7", "B   ok      12"],
  );
});

test("control characters in mail do not reach the terminal", () => {
  assert.equal(printable("a\u001b[2Jb\u0007\u009b1m"), "a\\u001b[2Jb\\u0007\\u009b1m");
  assert.equal(printable("one\r\n two\n"), "one two ");
  assert.equal(printable("evil\u202egpj.exe"), "evil\\u202egpj.exe");
  const [, line] = renderTable(columns, [["A", "\u001b]0;owned\u0007", "1"]], 80);
  assert.ok(line !== undefined && /^[\x20-\x7e]*$/.test(line), line);
});

test("wide characters take two cells, and are not cut in half", () => {
  assert.equal(displayWidth("日本"), 4);
  assert.equal(displayWidth("é"), 1);
  assert.equal(truncate("日本語", 4), "日…");
  assert.equal(truncate("abc", 3), "abc");
});
