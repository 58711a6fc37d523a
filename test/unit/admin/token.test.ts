import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { findOrCreateToken } from "../../../services/admin/token.ts";

async function directory(t: TestContext): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), "admin-token-"));
  t.after(() => rm(made, { recursive: true }));
  return made;
}

test("the configured token is used and nothing is written", async (t) => {
  const data = await directory(t);
  assert.equal(await findOrCreateToken("configured", data), "configured");
  assert.deepEqual(await readdir(data), []);
});

test("a missing token is created once, readable by its owner only", async (t) => {
  const data = path.join(await directory(t), "not", "there", "yet");
  const token = await findOrCreateToken(undefined, data);
  assert.match(token, /^[\w-]{32}$/);
  assert.equal((await stat(path.join(data, "admin.token"))).mode & 0o777, 0o600);
  assert.equal((await readFile(path.join(data, "admin.token"), "utf8")).trim(), token);
  assert.equal(await findOrCreateToken(undefined, data), token);
  assert.deepEqual(await readdir(data), ["admin.token"]);
});

test("processes that start together agree on one token", async (t) => {
  const data = await directory(t);
  const tokens = await Promise.all(Array.from({ length: 20 }, () => findOrCreateToken(undefined, data)));
  assert.equal(new Set(tokens).size, 1);
});

test("an empty token file is an error, not a password", async (t) => {
  const data = await directory(t);
  await writeFile(path.join(data, "admin.token"), "\n");
  await assert.rejects(findOrCreateToken(undefined, data), /is empty/);
});
