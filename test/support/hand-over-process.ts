/**
 * Hands one spool to another, a message at a time, with a line for each step: `node hand-over-process.ts FROM TO`. Each is a
 * directory, or the options of a spool in a store as JSON.
 */
import { writeSync } from "node:fs";
import { handOver } from "../../shared/spool/handover/handover.ts";
import type { S3SpoolOptions } from "../../shared/spool/s3/options.ts";
import { createS3Spool } from "../../shared/spool/s3/s3-spool.ts";

const [, , from = "", to = ""] = process.argv;

const end = (given: string) =>
  given.startsWith("{")
    ? {
        name: "s3://mail/",
        spool: createS3Spool({ ...(JSON.parse(given) as S3SpoolOptions), forHandover: true }),
      }
    : given;

await handOver({
  from: end(from),
  to: end(to),
  chunk: { messages: 1, octets: 1 },
  progress: ({ phase, messages }) => writeSync(1, `${phase} ${messages}\n`),
});
writeSync(1, "done\n");
process.exit();
