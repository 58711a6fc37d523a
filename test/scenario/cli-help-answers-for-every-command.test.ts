/** `postern … --help`: usage on standard output, exit status 0 and no side effect, without any configuration. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const directory = mkdtempSync(path.join(tmpdir(), "postern-help-"));
after(() => rmSync(directory, { recursive: true }));
const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

function postern(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: directory,
    encoding: "utf8",
    env: { PATH: process.env.PATH ?? "" },
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

test("every command that postern --help lists has a help text, and so has every group", () => {
  const { status, stdout } = postern("--help");
  assert.equal(status, 0);
  const commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]*(?: [a-z][a-z-]*)?) {2,}[A-Z]/gm)].map(
    ([, name = ""]) => name,
  );
  const groups = [...new Set(commands.flatMap((name) => name.match(/^(\S+) /)?.[1] ?? []))];
  assert.ok(commands.includes("up") && commands.includes("queue hold"), commands.join());
  assert.ok(groups.includes("queue"), groups.join());
  for (const name of [...commands, ...groups]) {
    const help = postern(...name.split(" "), "--help");
    assert.match(help.stdout, new RegExp(`^usage: postern ${name}( |\n)`));
    assert.deepEqual([help.status, help.stderr], [0, ""], name);
  }
  for (const group of groups) {
    const { stdout: text } = postern(group, "--help");
    for (const name of commands.filter((each) => each.startsWith(`${group} `)))
      assert.ok(text.includes(`\n  ${name} `), name);
  }
  assert.deepEqual(readdirSync(directory), []);
});
