import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { readHoldsFile, writeHoldsFile } from "../../../shared/queue/holds/file.ts";

const rule = { kind: "sender", value: "ann@example.com", reason: "", createdAtMs: 1 } as const;
const copy = { version: 3, rules: [rule] };

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "postern-holds-"));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

test("holds that cannot be written leave no temporary file behind", async (t) => {
  const directory = await temporaryDirectory(t);
  const file = path.join(directory, "holds.json");
  // A directory with the file's name: the new file is written, and cannot take its place.
  await mkdir(path.join(file, "in-the-way"), { recursive: true });
  await assert.rejects(writeHoldsFile(file, copy), { name: "HoldsFileFailed" });
  assert.deepEqual(await readdir(directory), ["holds.json"]);
});

test("the temporary file of a process that was killed goes with the next change of the holds", async (t) => {
  const directory = await temporaryDirectory(t);
  const file = path.join(directory, "holds.json");
  const [old, recent] = ["holds.json.old.tmp", "holds.json.recent.tmp"] as const;
  for (const name of [old, recent, "other.tmp"]) await writeFile(path.join(directory, name), "{");
  const yesterday = new Date(Date.now() - 86_400_000);
  for (const name of [old, "other.tmp"]) await utimes(path.join(directory, name), yesterday, yesterday);
  await writeHoldsFile(file, copy);
  assert.deepEqual((await readdir(directory)).sort(), ["holds.json", recent, "other.tmp"]);
  assert.deepEqual(await readHoldsFile(file), copy);
});
