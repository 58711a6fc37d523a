import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogOutput } from "../../../shared/runtime/log-output.ts";

const module = new URL("../../../shared/runtime/log-output.ts", import.meta.url).href;

test("lines written close together go out in one write, in order, and a full buffer at once", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
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
  t.mock.timers.tick(5);
  assert.equal(readFileSync(file, "utf8"), "one\ntwo\n");
  const line = `${"x".repeat(999)}\n`;
  for (let n = 0; n < 70; n++) output.write(line);
  assert.ok(readFileSync(file, "utf8").length > 64 * 1024);
  t.mock.timers.tick(5);
  assert.equal(readFileSync(file, "utf8"), `one\ntwo\n${line.repeat(70)}`);
});

test("a process that exits at once loses no log line", () => {
  const script = `const { createLogOutput } = await import("${module}"); createLogOutput().write("last\\n"); process.exit(3);`;
  assert.throws(
    () => execFileSync(process.execPath, ["--input-type=module", "-e", script], { stdio: "pipe" }),
    (error: { status: number; stdout: Buffer }) => error.status === 3 && error.stdout.toString() === "last\n",
  );
});

test("lines of several processes on one full pipe never mix", async () => {
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
