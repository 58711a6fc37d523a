/**
 * `npm run bench`: side-by-side measurements against real peers, in one run, interleaved.
 *   --rounds N    pairs of each measurement (5)
 *   --only TEXT   loads whose name contains the text
 *   --out DIR     where results.json and results.md go (bench/results)
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { endToEnd, loads } from "./end-to-end.ts";
import { isInstalled } from "./peers/program.ts";
import { markdownTable } from "./report.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    only: { type: "string", default: "" },
    out: { type: "string", default: fileURLToPath(new URL("results", import.meta.url)) },
  },
});
const only = values.only;

const missing = ["postfix", "smtp-source", "smtp-sink"].filter((program) => !isInstalled(program));
if (missing.length > 0) {
  console.log(`skipped: end to end against Postfix, since ${missing.join(", ")} is not installed`);
} else {
  const machine = {
    date: new Date().toISOString(),
    processor: `${cpus().length} × ${cpus()[0]?.model.trim()}`,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    postfix: execFileSync("postconf", ["-d", "-h", "mail_version"]).toString().trim(),
  };
  console.log(machine);
  const rows = await endToEnd(
    Number(values.rounds),
    loads.filter((load) => load.name.includes(only)),
    (line) => console.log(line),
  );
  const table = markdownTable(rows, "Postern", `Postfix ${machine.postfix}`);
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, "results.json"), `${JSON.stringify({ machine, rows }, null, 2)}\n`);
  writeFileSync(join(values.out, "results.md"), table);
  console.log(`\n${table}`);
}
