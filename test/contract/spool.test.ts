import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { createMemorySpool } from "../../shared/spool/memory.ts";
import { createS3Spool } from "../../shared/spool/s3/s3-spool.ts";
import { startTestStore, type TestStore, type TestStoreOptions } from "../support/s3-store.ts";
import { spoolContract } from "./spool.ts";

const root = mkdtempSync(join(tmpdir(), "postern-spool-"));
after(() => rmSync(root, { recursive: true, force: true }));

spoolContract("in memory", () => createMemorySpool({ largeBytes: 65_536, capacityBytes: 1e9 }));

spoolContract("on the file system", () =>
  createFsSpool({ directory: mkdtempSync(join(root, "s")), largeBytes: 65_536, minFreeBytes: 0 }),
);

spoolContract("on the file system, with a new segment for nearly every message", () =>
  createFsSpool({
    directory: mkdtempSync(join(root, "s")),
    largeBytes: 65_536,
    minFreeBytes: 0,
    segmentBytes: 100,
    logBytes: 50,
  }),
);

spoolContract("on the file system, with no memory for drafts", () =>
  createFsSpool({
    directory: mkdtempSync(join(root, "s")),
    largeBytes: 65_536,
    minFreeBytes: 0,
    draftMemoryBytes: 0,
  }),
);

/** Each spool has a prefix of its own in one store. */
function contractInStore(name: string, options: TestStoreOptions): void {
  let store: TestStore;
  let spools = 0;
  before(async () => {
    store = await startTestStore(options);
  });
  after(() => store.close());
  spoolContract(name, () => {
    const { endpoint, bucket, accessKeyId, secretAccessKey } = store;
    return createS3Spool({
      endpoint,
      bucket,
      credentials: { accessKeyId, secretAccessKey },
      prefix: `spool-${++spools}/`,
      directory: mkdtempSync(join(root, "cache")),
      largeBytes: 65_536,
      batchMs: 5,
    });
  });
}

contractInStore("in an S3-compatible store", {});

contractInStore("in a store with small pages that knows no conditions and wants Content-MD5", {
  pageSize: 3,
  conditionalPut: "unsupported",
  batchDelete: "md5",
});
