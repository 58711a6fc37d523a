import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { createS3Spool } from "../../shared/spool/s3/s3-spool.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { acceptAndKill } from "../support/kill-acceptor.ts";
import { startTestStore } from "../support/s3-store.ts";

test("every message that was acknowledged before a kill -9 is still whole, and nothing settled is delivered again", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "postern-kill-"));
  const directory = join(root, "spool");
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const open = (): Spool => createFsSpool({ directory, minFreeBytes: 0, deadAfterMs: 100, followMs: 20 });
  await acceptAndKill(directory, { arguments: [], rounds: 5, open });
});

test("the same holds for a spool in a store, read by a process on another host", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "postern-kill-"));
  const store = await startTestStore();
  t.after(async () => {
    await store.close();
    rmSync(root, { recursive: true, force: true });
  });
  const { endpoint, bucket, accessKeyId, secretAccessKey } = store;
  const credentials = { accessKeyId, secretAccessKey };
  const options = { endpoint, bucket, credentials, batchMs: 5, largeBytes: 30_000, partBytes: 25_000 };
  const given = { ...options, moveAfterMs: 100, lingerMs: 200 };
  const open = (): Spool => createS3Spool({ ...options, directory: join(root, "other") });
  await acceptAndKill(join(root, "cache"), { arguments: [JSON.stringify(given)], rounds: 3, open });
});
