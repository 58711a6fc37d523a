/** A directory for the spools of a test, which are closed at its end. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { SpoolFault } from "../../../shared/spool/fault.ts";
import { createFsSpool, type FsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import type { FsSpoolOptions } from "../../../shared/spool/fs/options.ts";

export interface SpoolFixture {
  directory: string;
  faults: SpoolFault[];
  open(options?: Partial<FsSpoolOptions>): FsSpool;
}

export function makeSpoolFixture(t: TestContext, defaults: Partial<FsSpoolOptions> = {}): SpoolFixture {
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
