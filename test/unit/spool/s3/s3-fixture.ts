/** Spools in a store of the test's own, behind a proxy with faults. The end of the test closes everything. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { SpoolFault } from "../../../../shared/spool/fault.ts";
import type { S3SpoolOptions } from "../../../../shared/spool/s3/options.ts";
import { createS3Spool, type S3Spool } from "../../../../shared/spool/s3/s3-spool.ts";
import type { ProbeReport } from "../../../../shared/spool/s3/store/probe.ts";
import { type FaultProxy, startFaultProxy } from "../../../support/s3-fault-proxy.ts";
import { startTestStore, type TestStore, type TestStoreOptions } from "../../../support/s3-store.ts";
import { waitFor } from "../../../support/wait-for.ts";

export interface S3Fixture {
  store: TestStore;
  proxy: FaultProxy;
  faults: SpoolFault[];
  /** What each spool has found out about the store. */
  reports: ProbeReport[];
  /** A local directory; spools that are given the same one are on one host. */
  directory(): string;
  /** Opens a spool, on a host of its own unless the options say otherwise, that knows what the store can do. */
  open(options?: Partial<S3SpoolOptions>): Promise<S3Spool>;
  /** Keys in the store that begin so. */
  keys(start: string): string[];
}

export async function makeS3Fixture(t: TestContext, options: TestStoreOptions = {}): Promise<S3Fixture> {
  const root = mkdtempSync(join(tmpdir(), "postern-s3-"));
  const store = await startTestStore(options);
  const proxy = await startFaultProxy(store.endpoint);
  const spools: S3Spool[] = [];
  const faults: SpoolFault[] = [];
  const reports: ProbeReport[] = [];
  t.after(async () => {
    proxy.decide = () => undefined;
    await Promise.all(spools.map((spool) => spool.close()));
    await proxy.close();
    await store.close();
    rmSync(root, { recursive: true, force: true });
  });
  const directory = (): string => mkdtempSync(join(root, "host-"));
  return {
    store,
    proxy,
    faults,
    reports,
    directory,
    async open(more = {}) {
      let isProbed = false;
      const spool = createS3Spool({
        bucket: store.bucket,
        endpoint: proxy.endpoint,
        credentials: { accessKeyId: store.accessKeyId, secretAccessKey: store.secretAccessKey },
        directory: directory(),
        largeBytes: 65_536,
        batchMs: 5,
        repeatMs: 1000,
        onFault: (fault) => faults.push(fault),
        onProbe: (report) => {
          reports.push(report);
          isProbed = true;
        },
        ...more,
      });
      spools.push(spool);
      await waitFor("the store to be probed", () => isProbed);
      return spool;
    },
    keys: (start) => [...store.objects.keys()].filter((key) => key.startsWith(start)),
  };
}
