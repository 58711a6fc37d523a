import assert from "node:assert/strict";
import { test } from "node:test";
import { cannotListen, orCannotUse, whyCannotStart } from "../../../shared/runtime/start-failure.ts";
import { SpoolFull, SpoolUnavailable } from "../../../shared/spool/spool.ts";

const systemError = (code: string) =>
  Object.assign(new Error(`${code}: text of the system, open '/x'`), { code, syscall: "open" });

test("each error of the data directory is a sentence", () => {
  for (const [code, why] of [
    ["EEXIST", "it is a file"],
    ["ENOTDIR", "a part of its path is a file"],
    ["ENOENT", "it cannot be created there"],
    ["EACCES", "this user may not write there"],
    ["EPERM", "this user may not write there"],
    ["EROFS", "the file system is read-only"],
    ["ENOSPC", "the disk is full"],
    ["EDQUOT", "the disk quota is used up"],
    ["EIO", "EIO: text of the system, open '/x'"],
  ] as const) {
    const fails = (error: Error) => () =>
      orCannotUse("/data", () => {
        throw error;
      });
    const expected = { message: `the data directory /data cannot be used: ${why}` };
    assert.throws(fails(systemError(code)), expected);
    assert.throws(fails(new SpoolUnavailable("the spool", { cause: systemError(code) })), expected);
  }
});

test("an address that cannot be listened on is a sentence", () => {
  const where = { address: "::1", port: 25 };
  assert.equal(
    cannotListen("listener in", where, { code: "EACCES" }).message,
    "listener in cannot listen on [::1]:25: the process may not open that port",
  );
  assert.equal(
    cannotListen("admin", where, { message: "why" }).message,
    "admin cannot listen on [::1]:25: why",
  );
});

test("errors of the system are sentences, and a defect of the program keeps its stack", () => {
  assert.equal(whyCannotStart(systemError("EACCES")), "EACCES: text of the system, open '/x'");
  assert.equal(whyCannotStart(new SpoolFull("full")), "full");
  assert.equal(whyCannotStart(new TypeError("x is not a function")), undefined);
});
