/** `bin/postern` picks the Node that runs the gateway. The Nodes here are scripts that say how they were called. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = realpathSync(mkdtempSync(join(tmpdir(), "postern-launcher-")));
after(() => rmSync(root, { recursive: true }));
const launcher = join(root, "bin", "postern");
mkdirSync(dirname(launcher));
copyFileSync(fileURLToPath(new URL("../../bin/postern", import.meta.url)), launcher);
const main = join(root, "services", "cli", "main.ts");
const heap =
  "--max-semi-space-size=32 --initial-old-space-size=128 --external-memory-accounted-in-global-limit";

/** @param unknown  an option that it ends over, as Node does. @returns the directory it is in */
function nodeNamed(name: string, version: string, unknown = "none"): string {
  const directory = join(root, name);
  mkdirSync(directory, { recursive: true });
  const script = `#!/bin/sh
case " $* " in *" ${unknown} "*) echo "bad option" >&2; exit 9;; esac
case " $* " in *" --version "*) echo v${version}; exit;; esac
echo ${name}: "$@"
`;
  writeFileSync(join(directory, "node"), script, { mode: 0o755 });
  return directory;
}

function launch(...directories: string[]) {
  const { status, stdout, stderr } = spawnSync(launcher, ["queue", "list"], {
    encoding: "utf8",
    env: { PATH: [...directories, "/usr/bin", "/bin"].join(":") },
  });
  return { status, stdout, stderr };
}

test("the Node on PATH runs the command, with memory options for message bodies", () => {
  const { status, stdout } = launch(nodeNamed("current", "24.3.0"));
  assert.deepEqual([status, stdout], [0, `current: ${heap} ${main} queue list\n`]);
});

test("a Node that does not know one of the options runs the command without them", () => {
  const { status, stdout } = launch(
    nodeNamed("later", "30.0.0", "--external-memory-accounted-in-global-limit"),
  );
  assert.deepEqual([status, stdout], [0, `later: ${main} queue list\n`]);
});

test("a Node that is too old runs nothing", () => {
  const { status, stdout, stderr } = launch(nodeNamed("old", "22.12.0"));
  assert.deepEqual([status, stdout], [1, ""]);
  assert.match(stderr, /^postern: needs Node 24 or newer; run 'npm install' in /);
});

test("the Node that npm installed comes before the one on PATH", () => {
  const installed = nodeNamed("node_modules/.bin", "24.0.0");
  const { stdout } = launch(join(root, "current"));
  assert.equal(stdout, `node_modules/.bin: ${heap} ${main} queue list\n`);
  rmSync(installed, { recursive: true });
});
