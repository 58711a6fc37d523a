/**
 * `npm run chaos -- [--minutes N] [--seed S] [--rate N] [--plant loss|duplicate] [--keep]`: the whole gateway under load and faults. The last line is
 * `messages … kills … lost N duplicates N unexplained N`; exit status 1 when lost or unexplained is not 0.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runChaos } from "./chaos.ts";
import { printResult } from "./print.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    /** Messages a second. */
    rate: { type: "string", default: "8" },
    /** Seconds between two faults. */
    every: { type: "string", default: "2" },
    /** Leaves data, log and history where they are. */
    keep: { type: "boolean", default: false },
    /** `loss` or `duplicate`: a defect on purpose, which has to be found. */
    plant: { type: "string", multiple: true, default: [] },
    directory: { type: "string" },
  },
});
const plants = values.plant.filter((plant) => plant === "loss" || plant === "duplicate");
if (plants.length < values.plant.length) {
  console.error("--plant takes loss or duplicate");
  process.exit(2);
}
for (const name of ["minutes", "seed", "rate", "every"] as const) {
  if (values[name] === undefined || Number(values[name]) > 0) continue;
  console.error(`--${name} takes a number above 0`);
  process.exit(2);
}
// What the run has started ends with this process.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
const seed = Number(values.seed ?? Date.now() % 2 ** 32);
const directory =
  values.directory !== undefined ? resolve(values.directory) : mkdtempSync(join(tmpdir(), "postern-chaos-"));
console.log(`seed ${seed}; data, log and history in ${directory}`);

const result = await runChaos({
  seed,
  durationMs: Number(values.minutes) * 60_000,
  directory,
  perSecond: Number(values.rate),
  faultEveryMs: Number(values.every) * 1000,
  plants,
  onProgress: (line) => console.log(`${Math.round(performance.now() / 1000)} s: ${line}`),
});
const isGood = result.lost.length === 0 && result.unexplained.length === 0;
if (isGood && !values.keep && values.directory === undefined)
  rmSync(directory, { recursive: true, force: true });
printResult(result);
process.exit(isGood ? 0 : 1);
