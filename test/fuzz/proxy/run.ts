/**
 * `npm run fuzz:proxy -- [--minutes N | --dialogues N] [--seed S] [--without GUARD]`: hostile clients against odd servers, with
 * the outgoing proxy between them. Prints its seed, and an attack that got past a policy with its own; exit status 1 then.
 */
import { parseArgs } from "node:util";
import { guards, takeOut } from "./guards.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    dialogues: { type: "string" },
    seed: { type: "string" },
    without: { type: "string" },
  },
});
if (values.without !== undefined) {
  if (guards[values.without] === undefined) {
    console.error(`--without takes one of:\n  ${Object.keys(guards).join("\n  ")}`);
    process.exit(2);
  }
  takeOut(values.without);
}
const { attack } = await import("./attack.ts");

const first = Number(values.seed ?? Date.now() * 1000);
console.log(`seed ${first}`);
const end =
  values.dialogues === undefined ? Number.POSITIVE_INFINITY : first + Math.max(1, Number(values.dialogues));
const endMs =
  values.dialogues === undefined ? performance.now() + Number(values.minutes) * 60_000 : undefined;

let seed = first;
while (seed < end && (endMs === undefined || performance.now() < endMs)) {
  const result = attack(seed++);
  if (result.violation === undefined) continue;
  console.log(JSON.stringify({ ...result, received: result.received.slice(-2000) }, undefined, 2));
  process.exitCode = 1;
  break;
}
console.log(`${seed - first} dialogues, ${process.exitCode === 1 ? "the last one" : "none"} past a policy`);
