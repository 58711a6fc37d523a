import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogOutput } from "../../../shared/runtime/log-output.ts";

const module = new URL("../../../shared/runtime/log-output.ts", import.meta.url).href;

test("the lines of one turn are written in order at its end", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "postern-log-"));
  const file = join(directory, "log");
  const fd = openSync(file, "a");
  t.after(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });
  const output = createLogOutput(fd);
  output.write("one\n");
  output.write("two\n");
  assert.equal(readFileSync(file, "utf8"), "");
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(readFileSync(file, "utf8"), "one\ntwo\n");
});

test("a process that exits in the same turn loses no line", () => {
  const script = `const { createLogOutput } = await import("${module}"); createLogOutput().write("last\\n"); process.exit(3);`;
  assert.throws(
    () => execFileSync(process.execPath, ["--input-type=module", "-e", script], { stdio: "pipe" }),
    (error: { status: number; stdout: Buffer }) => error.status === 3 && error.stdout.toString() === "last\n",
  );
});

test("lines of several processes on one pipe that is full never mix", async () => {
  const line = (who: string) => `${who.repeat(900)}\n`;
  const script = `const { createLogOutput } = await import("${module}"); const out = createLogOutput();
    for (let i = 0; i < 400; i++) { out.write(process.argv[1].repeat(900) + "\\n"); if (i % 7 === 0) await new Promise(setImmediate); }`;
  const shell = spawn(
    "sh",
    [
      "-c",
      'for who in a b c; do "$0" --input-type=module -e "$1" $who & done; wait',
      process.execPath,
      script,
    ],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let text = "";
  for await (const chunk of shell.stdout) text += chunk;
  const lines = text.split("\n").slice(0, -1);
  assert.equal(lines.length, 1200);
  for (const each of lines) assert.ok(["a", "b", "c"].some((who) => `${each}\n` === line(who)));
});
