/**
 * `npm run fuzz -- [--target NAME...] [--minutes N | --runs N] [--seed S] [--file PATH] [--without GUARD] [--keep]`: all parsers of
 * strangers' octets, one after the other, N minutes each; with --runs as `npm test` does it, N changed inputs each. Prints its seed; an input that fails is put into the corpus, and
 * the exit status is 1 then.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { keep, targetNames } from "./engine/corpus.ts";
import type { Order } from "./engine/order.ts";
import { watch } from "./engine/watch.ts";
import { guards } from "./guards.ts";

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true },
    minutes: { type: "string", default: "1" },
    runs: { type: "string" },
    seed: { type: "string" },
    file: { type: "string" },
    without: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});

/** Of each property in a short run, here and in `npm test`. */
const shortCases = 40;
const known = targetNames();
const chosen = values.target ?? known;
for (const name of chosen) if (!known.includes(name)) refuse("--target", known);
if (values.without !== undefined && guards[values.without] === undefined)
  refuse("--without", Object.keys(guards));

const seed = Number(values.seed ?? Date.now() % 2 ** 31);
console.log(`seed ${seed}`);
for (const target of chosen) {
  const order: Order = {
    target,
    seed,
    ...(values.runs === undefined
      ? {
          cases: Math.ceil(500 * Number(values.minutes)),
          forMs: Number(values.minutes) * 60_000,
          explores: true,
        }
      : { cases: shortCases, runs: Number(values.runs), explores: false }),
    ...(values.file === undefined ? {} : { only: readFileSync(values.file) }),
    ...(values.without === undefined ? {} : { without: values.without }),
  };
  const outcome = await watch(order);
  if (outcome.kind === "passed") {
    const { runs, cases, blocks, reached } = outcome;
    console.log(
      `${target.padEnd(20)} ${runs} inputs, ${cases} cases, ${blocks} blocks of source: nothing failed`,
    );
    if (values.keep) for (const input of reached) keep(target, "reach", Buffer.from(input));
    continue;
  }
  process.exitCode = 1;
  console.log(`${target.padEnd(20)} FAILED after ${outcome.runs} inputs: ${outcome.what}`);
  if (outcome.input === undefined || values.file !== undefined || values.without !== undefined) continue;
  const file = keep(target, outcome.what.startsWith("hang") ? "hang" : "crash", Buffer.from(outcome.input));
  console.log(`again: npm run fuzz -- --target ${target} --file ${file}`);
}

function refuse(option: string, names: readonly string[]): never {
  console.error(`${option} takes one of:\n  ${names.join("\n  ")}`);
  process.exit(2);
}
