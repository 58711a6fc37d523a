import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { commands } from "../../../services/cli/commands.ts";
import { complete } from "../../../services/cli/completion/complete.ts";

/** What a shell would offer. */
async function offered(...words: string[]): Promise<string[]> {
  const lines = (await complete(commands, words)).trimEnd().split("\n");
  assert.match(lines.at(-1) ?? "", /^:\d+$/);
  return lines.slice(0, -1).map((line) => line.split("\t")[0] ?? "");
}

test("commands and groups are completed, with their summaries", async () => {
  assert.deepEqual(await offered("exp"), ["explain"]);
  assert.ok((await offered("")).includes("queue"));
  assert.deepEqual(await offered("queue", "rel"), ["release"]);
  assert.ok((await offered("queue", "re")).includes("remove"));
  assert.match(await complete(commands, ["expl"]), /^explain\tShow what the routing table does/);
  assert.deepEqual(await offered("-c", "gw.yaml", "queue", "li"), ["list"]);
});

test("options of the command are completed, and values that are known", async () => {
  assert.ok((await offered("queue", "list", "--")).includes("--status"));
  assert.deepEqual(await offered("queue", "list", "--to"), ["--to", "--token"]);
  assert.deepEqual(await offered("queue", "list", "--status", "de"), ["deferred", "dead"]);
  assert.deepEqual(await offered("queue", "list", "--status", "held", "--que"), ["--queue"]);
  assert.deepEqual(await offered("health", "in"), ["ingress"]);
  assert.deepEqual(await offered("completion", ""), ["bash", "zsh", "fish"]);
  assert.deepEqual(await offered("queue", "list", "--to", ""), []);
});

test("files are completed where an option takes one", async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-complete-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(path.join(directory, "gw.yaml"), "");
  mkdirSync(path.join(directory, "mails"));
  assert.deepEqual(await offered("-c", `${directory}/g`), [`${directory}/gw.yaml`]);
  assert.deepEqual(await offered("queue", "list", "--config", `${directory}/g`), [`${directory}/gw.yaml`]);
  // A directory is not the end: no space follows it.
  assert.equal(
    await complete(commands, ["queue", "export", "-o", `${directory}/m`]),
    `${directory}/mails/\t\n:6\n`,
  );
  assert.deepEqual(await offered("-c", `${directory}/none/`), []);
});

test("the script of each shell asks the program, and the program answers", () => {
  const program = fileURLToPath(new URL("../../../bin/postern", import.meta.url));
  const postern = (...words: string[]) => spawnSync(program, words, { encoding: "utf8" });
  for (const shell of ["bash", "zsh", "fish"]) {
    const { status, stdout } = postern("completion", shell);
    assert.equal(status, 0);
    assert.match(stdout, /postern complete -- /);
    if (shell === "bash") assert.equal(spawnSync("bash", ["-n"], { input: stdout }).status, 0);
  }
  const other = postern("completion", "csh");
  assert.deepEqual([other.status, other.stdout], [2, ""]);
  assert.match(other.stderr, /^postern completion knows no shell 'csh', only: bash, zsh, fish; see /);
  assert.match(
    postern("complete", "--", "queue", "sh").stdout,
    /^show\tShow everything about messages .*\n:4\n$/,
  );
});
