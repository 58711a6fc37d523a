/** Hands one spool to another, a message at a time, with a line for each step: `node hand-over-process.ts FROM TO`. */
import { writeSync } from "node:fs";
import { handOver } from "../../shared/spool/handover/handover.ts";

const [, , from = "", to = ""] = process.argv;
await handOver({
  from,
  to,
  chunk: { messages: 1, octets: 1 },
  progress: ({ phase, messages }) => writeSync(1, `${phase} ${messages}\n`),
});
writeSync(1, "done\n");
