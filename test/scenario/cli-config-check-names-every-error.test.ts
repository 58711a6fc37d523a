import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const directory = mkdtempSync(path.join(tmpdir(), "postern-cli-"));
after(() => rmSync(directory, { recursive: true }));
const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

function postern(words: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: directory,
    encoding: "utf8",
    env: { PATH: process.env.PATH ?? "", ...env },
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

writeFileSync(path.join(directory, "good.yaml"), `hostname: gw\nlisteners: [{ name: a, port: \${PORT} }]\n`);
writeFileSync(
  path.join(directory, "bad.yaml"),
  "hostname: gw\nlisteners:\n  - name: a\n    prot: 25\nadmin: { port: -1 }\n",
);

test("a valid configuration is ok, from any directory, with environment variables filled in", () => {
  assert.deepEqual(postern(["config", "check", "-c", "good.yaml"], { PORT: "25" }), {
    status: 0,
    stdout: "good.yaml: ok\n",
    stderr: "",
  });
  assert.equal(postern(["config", "check"], { PORT: "25", POSTERN_CONFIG: "good.yaml" }).status, 0);
});

test("every error is printed on standard error with file, line and path, exit status 2", () => {
  assert.deepEqual(postern(["-c", "bad.yaml", "config", "check"]), {
    status: 2,
    stdout: "",
    stderr: [
      "bad.yaml:3: listeners[0].port: is missing: give a whole number from 0 to 65535",
      "bad.yaml:4: listeners[0].prot: is not a known key; did you mean port?",
      "bad.yaml:5: admin.port: must be a whole number from 0 to 65535",
      "",
    ].join("\n"),
  });
  assert.deepEqual(postern(["config", "check", "-c", "good.yaml"]), {
    status: 2,
    stdout: "",
    stderr: "good.yaml:2: listeners[0].port: takes the environment variable PORT, which is not set\n",
  });
});

test("--json prints the same for programs", () => {
  const { status, stdout } = postern(["config", "check", "--json", "-c", "bad.yaml"]);
  assert.equal(status, 2);
  const { file, ok, mistakes } = JSON.parse(stdout);
  assert.deepEqual([file, ok, mistakes.length], ["bad.yaml", false, 3]);
  assert.deepEqual(mistakes[2], {
    path: "admin.port",
    line: 5,
    message: "must be a whole number from 0 to 65535",
  });
});

test("a login that nobody can make is a warning: AUTH needs a certificate, and a listener that offers it", () => {
  const config =
    "hostname: gw\nauth: { users: { file: users.txt } }\nlisteners:\n  - { name: a, port: 25 }\n";
  writeFileSync(path.join(directory, "auth.yaml"), config);
  assert.deepEqual(postern(["config", "check", "-c", "auth.yaml"]), {
    status: 0,
    stdout: "auth.yaml: ok\n",
    stderr:
      "warning: auth.yaml:2: auth: has no effect, nobody can log in: listener a has no certificate, and AUTH is offered under TLS only\n",
  });
  const { mistakes, warnings } = JSON.parse(postern(["config", "check", "--json", "-c", "auth.yaml"]).stdout);
  assert.deepEqual([mistakes.length, warnings[0].path, warnings[0].line], [0, "auth", 2]);
});

test("an entry that can never match is a warning on standard error, exit status 0", () => {
  const config =
    "hostname: gw\nlisteners: [{ name: a, port: 25 }]\nrelay:\n  routes:\n    - { to: '*', via: mx }\n    - { to: a@b.example, via: mx }\n";
  writeFileSync(path.join(directory, "shadowed.yaml"), config);
  assert.deepEqual(postern(["config", "check", "-c", "shadowed.yaml"]), {
    status: 0,
    stdout: "shadowed.yaml: ok\n",
    stderr:
      "warning: shadowed.yaml:6: relay.routes[1]: can never match, since an earlier entry always does (relay.routes[0], line 5)\n",
  });
});

test("without a file the places that were searched are named", () => {
  assert.deepEqual(postern(["config", "check"]), {
    status: 2,
    stdout: "",
    stderr:
      "postern.yaml: the configuration file does not exist; name another with -c FILE or $POSTERN_CONFIG\n",
  });
});

test("every command that needs the configuration prints its errors", () => {
  const { status, stderr } = postern([
    "explain",
    "--client",
    "::1",
    "--server",
    "::1",
    "--to",
    "a@b",
    "-c",
    "bad.yaml",
  ]);
  assert.equal(status, 2);
  assert.equal(stderr.trimEnd().split("\n").length, 3);
});
