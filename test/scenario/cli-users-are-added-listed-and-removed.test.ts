import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { matchesPassword } from "../../shared/users/password-hash.ts";
import { parseUserList } from "../../shared/users/user-list.ts";
import { unlessInstalled } from "../support/programs.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

function makeSite(t: TestContext, auth: object | null = { users: { file: "users.txt" } }) {
  const directory = mkdtempSync(join(tmpdir(), "postern-users-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const config = join(directory, "postern.yaml");
  writeFileSync(
    config,
    stringify({
      hostname: "gw.example.net",
      listeners: [{ name: "submission", port: 0 }],
      ...(auth === null ? {} : { auth }),
    }),
  );
  const run = (command: string, args: string[], input: string): Promise<Ended> =>
    new Promise((resolve) => {
      const child = spawn(command, args, { stdio: "pipe" });
      const ended: Ended = { code: null, out: "", err: "" };
      child.stdout.on("data", (chunk) => {
        ended.out += chunk;
      });
      child.stderr.on("data", (chunk) => {
        ended.err += chunk;
      });
      child.stdin.on("error", () => {});
      child.stdin.end(input);
      child.on("close", (code) => resolve({ ...ended, code }));
    });
  return {
    config,
    file: join(directory, "users.txt"),
    run,
    user: (args: string[], input = "") => run(program, ["user", ...args, "-c", config], input),
  };
}

test("a user is added with a password from standard input, listed, given another, and removed", async (t) => {
  const { user, file } = makeSite(t);
  assert.deepEqual(await user(["add", "alice"], "open sesame\nnot this line\n"), {
    code: 0,
    out: "added alice\n",
    err: "",
  });
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const hashOf = (name: string) => {
    const parsed = parseUserList(readFileSync(file, "utf8"));
    const hash = parsed.kind === "users" ? parsed.users.get(name) : undefined;
    if (hash === undefined) throw new Error(`no ${name}`);
    return hash;
  };
  assert.ok(await matchesPassword("open sesame", hashOf("alice")));
  const again = await user(["add", "alice"], "other\n");
  assert.equal(again.code, 1);
  assert.match(again.err, /^postern: alice is there already; --replace sets a new password\n$/);
  assert.equal((await user(["add", "alice", "--replace"], "other\n")).out, "changed alice\n");
  assert.ok(await matchesPassword("other", hashOf("alice")));
  assert.equal((await user(["add", "bob@example.com"], "x\n")).code, 0);
  const listed = await user(["list", "--json"]);
  assert.deepEqual(JSON.parse(listed.out), [
    { name: "alice", hash: "scrypt$32768$8$1" },
    { name: "bob@example.com", hash: "scrypt$32768$8$1" },
  ]);
  assert.match((await user(["list"])).out, /^USER +HASH\nalice +scrypt\$32768\$8\$1\nbob@example\.com /);
  assert.equal((await user(["remove", "alice"])).out, "removed alice\n");
  assert.equal((await user(["remove", "alice"])).code, 1);
  assert.deepEqual(
    JSON.parse((await user(["list", "--json"])).out).map(({ name }: { name: string }) => name),
    ["bob@example.com"],
  );
});

test("a password is never an argument, never empty, and what has no users says so", async (t) => {
  const { user } = makeSite(t);
  const argument = await user(["add", "alice", "secret"]);
  assert.equal(argument.code, 2);
  const empty = await user(["add", "alice"], "\n");
  assert.deepEqual([empty.code, empty.err], [1, "postern: the password is empty\n"]);
  const none = await user(["add", "alice"]);
  assert.deepEqual([none.code, none.err], [1, "postern: needs the password on standard input: one line\n"]);
  assert.equal((await user(["add", "a:b"], "x\n")).code, 2);
  assert.match((await user(["list"])).out, /users\.txt has no users\n$/);
  const without = makeSite(t, null);
  const refused = await without.user(["list"]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /postern\.yaml has no auth\.users\.file/);
});

test("config check names each fault of the user file with its line, and quotes no hash", async (t) => {
  const { run, user, config, file } = makeSite(t);
  writeFileSync(file, "# staff\nalice:swordfish\nbob\n");
  const checked = await run(program, ["config", "check", "-c", config], "");
  assert.equal(checked.code, 2);
  assert.match(checked.err, /postern\.yaml:\d+: auth\.users\.file: .*users\.txt:2: the hash of alice is not/);
  assert.match(checked.err, /users\.txt:3: is not name:scrypt/);
  assert.doesNotMatch(checked.err, /swordfish/);
  assert.equal((await user(["add", "carol"], "x\n")).code, 2);
  assert.equal(readFileSync(file, "utf8"), "# staff\nalice:swordfish\nbob\n", "nothing is overwritten");
});

/** Types the answers at a terminal of its own, each when its question has come, and prints what the terminal showed. */
const typist = `
import os, pty, sys
shown = b""
questions = [b"Password: ", b"Once more: "]
answers = sys.stdin.buffer.read().splitlines()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try:
        some = os.read(terminal, 1024)
    except OSError:
        break
    if not some:
        break
    shown += some
    if questions and questions[0] in shown:
        questions.pop(0)
        os.write(terminal, answers.pop(0) + b"\\r")
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

test("at a terminal the password is asked for twice, and never shown", {
  skip: unlessInstalled("python3"),
}, async (t) => {
  const { run, config, file } = makeSite(t);
  const type = (...answers: string[]) =>
    run("python3", ["-c", typist, program, "user", "add", "alice", "-c", config], answers.join("\n"));
  const differing = await type("tuna-melt", "tuna-malt");
  assert.equal(differing.code, 1);
  assert.match(differing.out, /the two passwords are not the same/);
  const added = await type("tuna-melt", "tuna-melt");
  assert.equal(added.code, 0, added.out);
  assert.match(added.out, /^Password: \r?\n+.*Once more: .*added alice/s);
  assert.doesNotMatch(added.out, /tuna|melt/);
  assert.match(readFileSync(file, "utf8"), /^alice:scrypt\$/);
});
