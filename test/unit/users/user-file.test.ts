import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { UserFile } from "../../../shared/users/user-file.ts";
import { changeUserFile, UserFileBusy } from "../../../shared/users/write-user-file.ts";

const hash = `scrypt$1024$1$1$${Buffer.from("saltsalt").toString("base64")}$${Buffer.alloc(16).toString("base64")}`;

function openFile(t: TestContext, text?: string) {
  const directory = mkdtempSync(join(tmpdir(), "postern-users-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "users.txt");
  if (text !== undefined) writeFileSync(path, text);
  const faults: string[] = [];
  const file = new UserFile(path, (some) => faults.push(...some));
  return { directory, path, faults, names: async () => [...(await file.current()).keys()], file };
}

test("a changed file counts at the next login, also when another one takes its place", async (t) => {
  const { path, names, faults } = openFile(t, `alice:${hash}\n`);
  assert.deepEqual(await names(), ["alice"]);
  writeFileSync(path, `alice:${hash}\nbob:${hash}\n`);
  assert.deepEqual(await names(), ["alice", "bob"]);
  const { atime, mtime } = statSync(path);
  writeFileSync(`${path}.other`, `carol:${hash}\ndave0:${hash}\n`);
  renameSync(`${path}.other`, path);
  assert.deepEqual(await names(), ["carol", "dave0"], `${atime} ${mtime}`);
  assert.deepEqual(faults, []);
});

test("while the file has faults the users before them hold; each fault is reported once, with its line", async (t) => {
  const { path, names, faults, file } = openFile(t, `alice:${hash}\n`);
  assert.deepEqual(await names(), ["alice"]);
  writeFileSync(path, `alice:${hash}\nbob\n`);
  assert.deepEqual(await names(), ["alice"]);
  assert.deepEqual(await names(), ["alice"]);
  assert.equal(faults.length, 1);
  assert.match(faults[0] ?? "", /users\.txt:2: is not name:scrypt/);
  await file.reread();
  assert.equal(faults.length, 2, "who asks for it to be read again is told again");
  rmSync(path);
  assert.deepEqual(await names(), ["alice"]);
  assert.match(faults[2] ?? "", /users\.txt does not exist$/);
  writeFileSync(path, `bob:${hash}\n`);
  assert.deepEqual(await names(), ["bob"]);
});

test("a file that does not exist yet has no users, and is found when it comes", async (t) => {
  const { path, names } = openFile(t);
  assert.deepEqual(await names(), []);
  writeFileSync(path, `alice:${hash}\n`);
  assert.deepEqual(await Promise.all([names(), names()]), [["alice"], ["alice"]]);
});

test("a change is whole or not at all, for its owner's eyes only, and two at once cannot lose one", async (t) => {
  const { directory, path } = openFile(t, "old\n");
  await changeUserFile(path, undefined, (text) => `${text}new\n`);
  assert.equal(readFileSync(path, "utf8"), "old\nnew\n");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await assert.rejects(
    changeUserFile(path, undefined, () => {
      throw new Error("changed my mind");
    }),
    /changed my mind/,
  );
  assert.deepEqual(readdirSync(directory), ["users.txt"]);
  assert.equal(readFileSync(path, "utf8"), "old\nnew\n");
  await changeUserFile(path, undefined, async (text) => {
    await assert.rejects(
      changeUserFile(path, undefined, () => ""),
      UserFileBusy,
    );
    return text;
  });
  assert.equal(readFileSync(path, "utf8"), "old\nnew\n");
});
