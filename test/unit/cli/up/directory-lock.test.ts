import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lockDirectory } from "../../../../services/cli/up/directory-lock.ts";

test("the lock of a dead process is taken over, and removed with its owner", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "postern-lock-"));
  t.after(() => rmSync(directory, { recursive: true }));
  // Above the kernel's highest pid_max.
  writeFileSync(join(directory, "up.pid"), "4194305\n");
  const unlock = lockDirectory(directory);
  assert.ok(unlock);
  unlock();
  const again = lockDirectory(directory);
  assert.ok(again);
  again();
});

test("a lock with garbage in it does not keep the gateway from starting", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "postern-lock-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "up.pid"), "not a number");
  assert.ok(lockDirectory(directory));
});
