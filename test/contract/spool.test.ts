import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { createMemorySpool } from "../../shared/spool/memory.ts";
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
