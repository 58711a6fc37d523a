import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { watchFiles } from "../../../shared/runtime/file-watch.ts";
import { waitFor } from "../../support/wait-for.ts";

function watch(t: TestContext, names: string[]) {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-watch-"));
  const files = names.map((name) => path.join(directory, name));
  for (const file of files) writeFileSync(file, "one\n");
  const seen: string[] = [];
  let looks = 0;
  const beforeLook = { do() {} };
  const watched = watchFiles({
    files() {
      looks++;
      beforeLook.do();
      return files;
    },
    async changed(changed) {
      seen.push(...changed.map((file) => path.basename(file)));
    },
    everyMs: 10,
  });
  t.after(() => {
    watched.close();
    rmSync(directory, { recursive: true });
  });
  const looked = () => {
    const before = looks;
    return waitFor("another look", () => looks > before + 1);
  };
  return { directory, files, seen, looked, beforeLook };
}

test("a file that is written, replaced by a rename, removed or made again has changed", async (t) => {
  const { directory, seen, looked } = watch(t, ["domains.txt", "other.txt"]);
  const file = path.join(directory, "domains.txt");
  await looked();
  const steps = [
    () => writeFileSync(file, "two words\n"),
    () => {
      writeFileSync(`${file}.new`, "three\n");
      renameSync(`${file}.new`, file);
    },
    () => rmSync(file),
    () => writeFileSync(file, "four\n"),
  ];
  for (const [index, step] of steps.entries()) {
    step();
    await waitFor("the change to be noticed", () => seen.length === index + 1);
  }
  await looked();
  assert.deepEqual(
    seen,
    steps.map(() => "domains.txt"),
  );
});

test("a link that is moved to another file is a change: certbot and Kubernetes renew that way", async (t) => {
  const { directory, files, seen, looked } = watch(t, []);
  writeFileSync(path.join(directory, "cert1.pem"), "one");
  writeFileSync(path.join(directory, "cert2.pem"), "two");
  const link = path.join(directory, "cert.pem");
  symlinkSync("cert1.pem", link);
  files.push(link);
  await looked();
  symlinkSync("cert2.pem", `${link}.new`);
  renameSync(`${link}.new`, link);
  await waitFor("the change to be noticed", () => seen.length === 1);
});

test("a file that is still being written is left alone until it is whole", async (t) => {
  const { directory, seen, looked, beforeLook } = watch(t, ["domains.txt"]);
  const file = path.join(directory, "domains.txt");
  await looked();
  let octets = "";
  beforeLook.do = () => {
    octets += "x";
    writeFileSync(file, octets);
  };
  await looked();
  await looked();
  assert.deepEqual(seen, []);
  beforeLook.do = () => {};
  await waitFor("the change to be noticed", () => seen.length === 1);
});

test("a file that changed after it was read, and before it was looked at, has changed", async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-watch-"));
  const [old, young] = ["old.txt", "young.txt"].map((name) => path.join(directory, name));
  assert.ok(old !== undefined && young !== undefined);
  writeFileSync(old, "one\n");
  const readAtMs = Date.now() + 1_000;
  await waitFor("a time that is later", () => Date.now() > readAtMs + 100);
  writeFileSync(young, "two\n");
  const seen: string[] = [];
  const watched = watchFiles({
    files: () => [old, young, path.join(directory, "missing.txt")],
    readAtMs: () => readAtMs,
    async changed(changed) {
      seen.push(...changed.map((file) => path.basename(file)));
    },
    everyMs: 10,
  });
  t.after(() => {
    watched.close();
    rmSync(directory, { recursive: true });
  });
  await waitFor("the younger file", () => seen.length > 0);
  writeFileSync(old, "three words\n");
  await waitFor("the older file", () => seen.length > 1);
  assert.deepEqual(seen, ["young.txt", "old.txt"]);
});
