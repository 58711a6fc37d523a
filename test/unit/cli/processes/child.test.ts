import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { type Child, superviseChild } from "../../../../services/cli/processes/child.ts";
import { createLogger } from "../../../../shared/runtime/log.ts";
import { CannotStart } from "../../../../shared/runtime/start-failure.ts";
import { waitFor } from "../../../support/wait-for.ts";

/** Supervises a service with this program; its lines are what it printed at each start. */
function supervise(t: TestContext, script: string): { child: Child; starts(): number } {
  const directory = mkdtempSync(path.join(tmpdir(), "child-"));
  const program = path.join(directory, "service.cjs");
  writeFileSync(program, `console.log("start");\n${script}`);
  let starts = 0;
  const log = createLogger("test", { write() {} });
  const child = superviseChild({ program, args: [], name: "delivery" }, () => starts++, log);
  t.after(async () => {
    await child.stop(0);
    rmSync(directory, { recursive: true });
  });
  return { child, starts: () => starts };
}

test("a service that says why it cannot start, or ends before it runs, is not started again", async (t) => {
  const says = supervise(t, `process.send({ kind: "cannot-start", reason: "no" }, () => process.exit(1));`);
  await assert.rejects(says.child.up, new CannotStart("no"));
  const ends = supervise(t, "process.exitCode = 3;");
  await assert.rejects(ends.child.up, {
    message: "delivery ended with status 3 before it was running; its log says why",
  });
  assert.deepEqual([says.starts(), ends.starts()], [1, 1]);
});

test("a service that has run once is started again, whatever ends it", async (t) => {
  const { child, starts } = supervise(
    t,
    `process.send({ kind: "up", listening: [] }, () => process.exit(1));`,
  );
  await child.up;
  await waitFor("a second start", () => starts() >= 2);
});
