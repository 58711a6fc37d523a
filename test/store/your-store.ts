/**
 * The spool in a real store, `npm run test:s3`: S3_ENDPOINT, S3_REGION and S3_BUCKET say where it is, the AWS SDK finds the
 * credentials. Everything is written below a prefix of its own, which is removed at the end.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { S3SpoolOptions } from "../../shared/spool/s3/options.ts";
import { createS3Spool, type S3Spool } from "../../shared/spool/s3/s3-spool.ts";
import { createAwsStore } from "../../shared/spool/s3/store/aws-store.ts";
import type { ProbeReport } from "../../shared/spool/s3/store/probe.ts";
import { spoolContract, store, textOf } from "../contract/spool.ts";
import { acceptAndKill } from "../support/kill-acceptor.ts";
import { startFaultProxy } from "../support/s3-fault-proxy.ts";
import { workThroughFaults } from "../support/s3-random-faults.ts";
import { waitFor } from "../support/wait-for.ts";

const { S3_ENDPOINT: endpoint, S3_REGION: region = "us-east-1", S3_BUCKET: bucket } = process.env;
if (endpoint === undefined || bucket === undefined)
  throw new Error("set S3_ENDPOINT, S3_BUCKET and, where it matters, S3_REGION");

const root = mkdtempSync(join(tmpdir(), "postern-store-"));
const prefix = `postern-test-${Date.now().toString(36)}/`;
const where = { endpoint, region, bucket };
let spools = 0;

function optionsOfNewSpool(): S3SpoolOptions {
  spools++;
  return { ...where, prefix: `${prefix}${spools}/`, directory: join(root, `${spools}`), largeBytes: 65_536 };
}

after(async () => {
  const all = createAwsStore({ ...where, prefix, pathStyle: true, attemptMs: 30_000, repeatMs: 60_000 });
  await all.remove((await all.list("")).map(({ key }) => key));
  for (const { key, uploadId } of await all.openUploads("")) await all.abortUpload(key, uploadId);
  all.close();
  rmSync(root, { recursive: true, force: true });
});

spoolContract("in your store", () => createS3Spool({ ...optionsOfNewSpool(), batchMs: 20 }));

test("what the store can do", async (t) => {
  const reports: ProbeReport[] = [];
  const spool = createS3Spool({ ...optionsOfNewSpool(), onProbe: (found) => reports.push(found) });
  t.after(() => spool.close());
  t.diagnostic(JSON.stringify(await waitFor("the probe", () => reports[0])));
});

test("a body of 40 MB is uploaded in parts and read back", async (t) => {
  const options = optionsOfNewSpool();
  const spool = createS3Spool(options);
  const other = createS3Spool({ ...options, directory: join(root, "other-host") });
  t.after(() => Promise.all([spool.close(), other.close()]));
  const line = "a line of a large body, as long as any other\r\n";
  const body = line.repeat(40_000_000 / line.length);
  const stored = await store(spool, body);
  assert.equal(await textOf(other, stored), body);
});

test("every message that was acknowledged before a kill -9 is still whole", async () => {
  const options = {
    ...optionsOfNewSpool(),
    batchMs: 20,
    largeBytes: 30_000,
    moveAfterMs: 1000,
    lingerMs: 1000,
  };
  const { directory, ...given } = options;
  const open = () => createS3Spool({ ...options, directory: join(root, "killed") });
  await acceptAndKill(directory, { arguments: [JSON.stringify(given)], rounds: 5, open });
});

test("mail is neither lost nor brought back while half of all requests fail", async (t) => {
  const proxy = await startFaultProxy(endpoint);
  const opened: S3Spool[] = [];
  t.after(async () => {
    proxy.decide = () => undefined;
    await Promise.all(opened.map((spool) => spool.close()));
    await proxy.close();
  });
  for (const seed of [1, 2, 3]) {
    const shared = optionsOfNewSpool();
    const open = async (more: Partial<S3SpoolOptions>): Promise<S3Spool> => {
      let isProbed = false;
      const directory = join(root, `faults-${opened.length}`);
      const onProbe = (): void => {
        isProbed = true;
      };
      const spool = createS3Spool({ ...shared, directory, endpoint: proxy.endpoint, ...more, onProbe });
      opened.push(spool);
      await waitFor("the probe", () => isProbed);
      return spool;
    };
    t.diagnostic(await workThroughFaults({ proxy, open }, seed, 10));
  }
});

describe("latency and requests", () => {
  for (const batchMs of [20, 50, 250]) {
    for (const senders of [1, 50]) {
      test(`messages of 4 KB, batch ${batchMs} ms, ${senders} at a time`, async (t) => {
        const spool = createS3Spool({ ...optionsOfNewSpool(), batchMs });
        t.after(() => spool.close());
        await store(spool, "the first");
        const putsBefore = spool.requests.put;
        const tookMs: number[] = [];
        const begunMs = performance.now();
        const each = async (): Promise<void> => {
          for (let n = 0; n < 20; n++) {
            const startMs = performance.now();
            const { meta } = await store(spool, Buffer.alloc(4096, "x"));
            tookMs.push(performance.now() - startMs);
            await spool.settle([{ id: meta.id, recipients: [0], state: { kind: "delivered" } }]);
          }
        };
        await Promise.all(Array.from({ length: senders }, each));
        const seconds = (performance.now() - begunMs) / 1000;
        tookMs.sort((a, b) => a - b);
        const at = (share: number): string =>
          `${Math.round(tookMs[Math.floor(tookMs.length * share)] ?? 0)} ms`;
        const puts = (spool.requests.put - putsBefore) / tookMs.length;
        t.diagnostic(
          `stored after ${at(0.5)} (median), ${at(0.95)} (95 %); ${Math.round(tookMs.length / seconds)} messages a second, stored and settled; ${puts.toFixed(2)} PUT for each`,
        );
      });
    }
  }
});
