import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { SpoolFull, type StoredMessage } from "../../shared/spool/spool.ts";
import { store, textOf, unsettledIds } from "../contract/spool.ts";

const mountBytes = 4 * 1024 * 1024;

/** A real file system of a few mebibytes; undefined where mounting is not allowed. */
function mountSmall(directory: string): { unmount(): void } | undefined {
  try {
    const size = `size=${mountBytes},mode=700`;
    execFileSync("mount", ["-t", "tmpfs", "-o", size, "postern-test", directory], { stdio: "ignore" });
    return { unmount: () => execFileSync("umount", [directory]) };
  } catch {
    return undefined;
  }
}

test("on a full disk mail is refused, accepted mail is kept, settling goes on, and freed space is used", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "postern-full-"));
  const directory = join(root, "mount");
  mkdirSync(directory);
  const mount = mountSmall(directory);
  t.after(() => {
    mount?.unmount();
    rmSync(root, { recursive: true, force: true });
  });
  if (mount === undefined) {
    t.skip("mounting a tmpfs needs root");
    return;
  }
  const options = { directory, minFreeBytes: 0, segmentBytes: 500_000, largeBytes: 100_000, followMs: 20 };
  const spool = createFsSpool(options);
  const accepted: StoredMessage[] = [];
  const refused: unknown[] = [];
  for (let n = 0; n < 100; n++) {
    const sizes = [3000, 60_000, 90_000, 300_000];
    const batch = sizes.map((size) => store(spool, "x".repeat(size)));
    for (const result of await Promise.allSettled(batch))
      if (result.status === "fulfilled") accepted.push(result.value);
      else refused.push(result.reason);
    if (refused.length > 20) break;
  }
  assert.ok(accepted.length > 10);
  for (const error of refused) assert.ok(error instanceof SpoolFull, String(error));
  assert.deepEqual((await unsettledIds(spool)).toSorted(), accepted.map(({ meta }) => meta.id).toSorted());
  for (const message of accepted) assert.match(await textOf(spool, message), /^x+$/);

  const settlements = accepted.map(({ meta }) => ({
    id: meta.id,
    recipients: [0],
    state: { kind: "delivered" as const },
  }));
  // Known to this process at least; on disk as soon as there is space.
  await spool.settle(settlements).catch((error: unknown) => assert.ok(error instanceof SpoolFull));
  assert.deepEqual(await unsettledIds(spool), []);
  await spool.close();

  const again = createFsSpool(options);
  await again.collect().catch((error: unknown) => assert.ok(error instanceof SpoolFull));
  await again.collect();
  assert.ok((await again.status()).bytesFree > mountBytes / 2);
  const late = await store(again, "there is space again");
  assert.equal(await textOf(again, late), "there is space again");
  await again.close();
});
