import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";

const reporter = fileURLToPath(new URL("../../support/skip-reporter.ts", import.meta.url));

function run(t: TestContext, tests: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-skipped-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(
    path.join(directory, "mail.test.mjs"),
    `import { describe, test } from "node:test";\n${tests}\n`,
  );
  // The variables of the test runner that runs this test would make the inner one report to it.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const words = ["--test", "--test-reporter", reporter, "--test-reporter-destination", "stdout"];
  return spawnSync(process.execPath, words, { cwd: directory, env, encoding: "utf8" }).stdout;
}

test("skipped tests and suites are listed at the end, by reason", (t) => {
  const listed = run(
    t,
    `describe("mail that an MX takes", { skip: "needs root" }, () => { test("arrives", () => {}); });
     test("a DSN that Python reads", { skip: "no python3 here" }, () => {});
     test("a full disk", (t) => t.skip("needs root"));
     test("outer", (t) => t.test("inner", { skip: true }, () => {}));
     test("mail that is not skipped", { skip: false }, () => {});`,
  );
  assert.equal(
    listed,
    `
Skipped:
  needs root
    mail.test.mjs: mail that an MX takes
    mail.test.mjs: a full disk
  no python3 here
    mail.test.mjs: a DSN that Python reads
  no reason given
    mail.test.mjs: inner
`,
  );
});

test("a run that skips nothing says so", (t) => {
  assert.equal(run(t, `test("mail arrives", () => {});`), "\nNo test was skipped.\n");
});
