import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { watchSpool } from "../../../services/admin/spool-watch.ts";
import { waitFor } from "../../support/wait-for.ts";

const fine = { bytesUsed: 1, bytesFree: 2, segments: 3 };

test("the state of the spool is that of the last sample", async () => {
  const watch = watchSpool({ status: async () => fine }, tmpdir());
  assert.deepEqual(await watch.status(), fine);
  watch.close();
});

test("a spool that fails, or whose directory is not writable, cannot be used", async () => {
  const failing = {
    status: async () => {
      throw new Error("I/O error");
    },
  };
  const broken = watchSpool(failing, tmpdir());
  await assert.rejects(broken.status(), /I\/O error/);
  broken.close();
  const missing = watchSpool({ status: async () => fine }, path.join(tmpdir(), "no-such-spool"));
  await assert.rejects(missing.status(), /ENOENT/);
  missing.close();
});

test("a sample that hangs is noticed after a minute", async () => {
  let nowMs = 0;
  let looks = 0;
  const spool = { status: () => (++looks > 1 ? new Promise<never>(() => {}) : Promise.resolve(fine)) };
  const watch = watchSpool(spool, tmpdir(), { nowMs: () => nowMs, everyMs: 1 });
  await watch.status();
  await waitFor("the second look", () => looks === 2);
  nowMs = 59_000;
  assert.deepEqual(await watch.status(), fine);
  nowMs = 61_000;
  await assert.rejects(watch.status(), /has not answered for 61 s/);
  watch.close();
});
