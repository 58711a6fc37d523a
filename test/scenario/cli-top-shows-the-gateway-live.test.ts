import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { type Moment, renderTop } from "../../services/cli/top/screen.ts";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { runCommand } from "../support/cli-terminal.ts";
import { runAtTerminal } from "../support/pseudo-terminal.ts";
import { waitFor } from "../support/wait-for.ts";

const root = path.resolve(import.meta.dirname, "../..");
let admin: TestAdmin;
let directory: string;
let configFile: string;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "cli-top-"));
  admin = await startTestAdmin();
  configFile = path.join(directory, "postern.yaml");
  await writeFile(
    configFile,
    `hostname: gw.example.net
data: ${directory}/data
listeners: [{ name: submission, address: 127.0.0.1, port: 0 }]
admin: { port: ${new URL(admin.url).port}, token: ${token} }
`,
  );
});
after(async () => {
  await admin.close();
  await rm(directory, { recursive: true });
});

test("without a terminal top prints one screen: state, rates, mail by status, and the largest groups", async () => {
  await admin.accept();
  await admin.defer(`mailbox full ${"and more ".repeat(20)}`);
  await admin.accept({ to: [["c@example.org"]] });
  await admin.announce("delivery", { ready: false, reasons: ["its disk is full"] });
  await waitFor("its announcement", async () =>
    (await (await admin.get("/api/v1/services")).text()).includes("its disk is full"),
  );
  const { status, out, err } = await runCommand(configFile, ["top"]);
  assert.deepEqual([status, err], [0, ""]);
  for (const line of out.split("\n")) assert.ok(line.length <= 80, line);
  assert.ok(!out.includes("\u001b"));
  assert.match(out, /^NOT OK {2}0 of 3 services ready$/m);
  assert.match(out, /^ {2}delivery on \S+ is not ready: its disk is full$/m);
  assert.match(out, /^A minute {2}0 accepted {2}0 delivered {2}0 deferred {2}0 bounced$/m);
  assert.match(out, /^Mail {6}1 waiting {2}0 active {2}1 deferred {2}0 held {2}0 dead/m);
  assert.match(out, /MESSAGES +HELD +OLDEST +DESTINATION\n(.*\n)* +1 +0 +\S+ +example\.org/);
  assert.match(out, /REASON\n +1 +0 +\S+ +.*mailbox full/);
  assert.equal((await runCommand(configFile, ["top", "--interval", "0"])).status, 2);
});

test("at a terminal top draws again until q, and leaves the terminal as it was", async (t) => {
  const [modeBefore, modeAfter] = [path.join(directory, "before"), path.join(directory, "after")];
  const terminal = runAtTerminal(
    t,
    `stty -g >${modeBefore}; ${root}/bin/postern -c ${configFile} top --interval 1s; echo "ended $?"; stty -g >${modeAfter}`,
  );
  if (terminal === undefined) return;
  await waitFor(
    "the screen to be drawn twice",
    () => terminal.seen().split("\u001b[Hpostern top").length > 2,
  );
  await admin.accept({ to: [["d@late.example"]] });
  await waitFor("mail that came later", () => terminal.seen().includes("late.example"));
  terminal.type("q");
  await terminal.ended();
  assert.ok(terminal.seen().includes("ended 0"));
  assert.ok(terminal.seen().includes("\u001b[?1049h"));
  assert.ok(terminal.seen().includes("\u001b[?25h\u001b[?1049l"));
  assert.equal(await readFile(modeAfter, "utf8"), await readFile(modeBefore, "utf8"));
});

test("figures that changed since the screen before say by how much; what is not known says so", () => {
  const status: Moment["status"] = {
    ok: true,
    reasons: [],
    warnings: ["one", "two", "three", "four"],
    at: "2026-11-30T12:00:00.000Z",
    services: [],
    rates: null,
    oldestSeconds: null,
    next: [{ text: "Look at dead mail", command: "postern queue list --status dead" }],
  };
  const moment = { status, destinations: [], reasons: undefined };
  const [before, now] = [3, 1].map((deferred) => ({ ...moment, counts: new Map([["deferred", deferred]]) }));
  const lines = renderTop({ write() {} }, now ?? assert.fail(), before, { width: 80, height: 24 });
  assert.deepEqual(lines.slice(1), [
    "OK: mail is accepted, delivered and returned.  0 of 0 services ready",
    "  warning: one",
    "  warning: two",
    "  and 2 more: postern status",
    "A minute  not known",
    "Mail      0 waiting  0 active  1 deferred (-2)  0 held  0 dead",
    "Next      postern queue list --status dead",
    "",
    "MESSAGES  HELD  OLDEST  DESTINATION",
    "",
    "REASON  not known",
  ]);
  const unknown = renderTop({ write() {} }, { ...moment, counts: undefined }, now, { width: 80, height: 6 });
  assert.equal(unknown[6 - 1], "A minute  not known");
});
