/** A process that accepts, settles and collects messages as fast as it can, and reports each on standard output. */
import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import type { S3SpoolOptions } from "../../shared/spool/s3/options.ts";
import { createS3Spool } from "../../shared/spool/s3/s3-spool.ts";
import { someMeta } from "../contract/spool.ts";

/** The second argument: the options of a spool in a store, as JSON. Absent: one in the directory. */
const [, , directory = "", inStore] = process.argv;

const spool =
  inStore === undefined
    ? createFsSpool({
        directory,
        minFreeBytes: 0,
        segmentBytes: 200_000,
        logBytes: 2000,
        largeBytes: 30_000,
        moveAfterMs: 100,
        moveShare: 0.6,
        deadAfterMs: 500,
        heartbeatMs: 50,
      })
    : createS3Spool({ directory, ...(JSON.parse(inStore) as Omit<S3SpoolOptions, "directory">) });

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

async function acceptForEver(n: number): Promise<void> {
  for (let count = 0; ; count++) {
    const size = count % 10 === n % 10 ? 60_000 : 10 + (randomBytes(2).readUInt16LE() % 9000);
    const meta = someMeta();
    const draft = spool.draft();
    await draft.write(Buffer.alloc(size, meta.id));
    const { locator } = await draft.commit(meta);
    say({ event: "accepted", id: meta.id, size, locator });
    if (count % 3 === 0) continue;
    say({ event: "settling", id: meta.id });
    await spool.settle([{ id: meta.id, recipients: [0], state: { kind: "delivered" } }]);
    say({ event: "settled", id: meta.id });
  }
}

async function collectForEver(): Promise<void> {
  for (;;) {
    await spool.collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

await Promise.all([...Array.from({ length: 8 }, (_, n) => acceptForEver(n)), collectForEver()]);
