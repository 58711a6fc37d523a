/** A directory for a test's spools, which are closed and removed with the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { SpoolFault } from "../../../shared/spool/fs/disk/fault.ts";
import { createFsSpool, type FsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import type { FsSpoolOptions } from "../../../shared/spool/fs/options.ts";

export interface Room {
  directory: string;
  faults: SpoolFault[];
  open(options?: Partial<FsSpoolOptions>): FsSpool;
}

export function makeRoom(t: TestContext, defaults: Partial<FsSpoolOptions> = {}): Room {
  const directory = mkdtempSync(join(tmpdir(), "postern-spool-"));
  const spools: FsSpool[] = [];
  const faults: SpoolFault[] = [];
  t.after(async () => {
    await Promise.all(spools.map((spool) => spool.close()));
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    directory,
    faults,
    open(options = {}) {
      const spool = createFsSpool({
        directory,
        minFreeBytes: 0,
        onFault: (fault) => faults.push(fault),
        ...defaults,
        ...options,
      });
      spools.push(spool);
      return spool;
    },
  };
}
