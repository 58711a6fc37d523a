/** `node test/chaos/look.ts FILE`: judges a history again that a run has left, and prints each duplicate with its cause. */
import { readHistory } from "./history/recorder.ts";
import { judge } from "./model/judge.ts";

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: node test/chaos/look.ts HISTORY");
const { duplicates, lost, unexplained } = judge(readHistory(file));
for (const { address, what, at, cause } of duplicates)
  console.log(`${Math.round(at)} ms: second ${what} for ${address}: ${cause ?? "no known cause"}`);
for (const { what, address } of lost) console.log(`lost: ${what} for ${address}`);
for (const line of unexplained) console.log(`unexplained: ${line}`);
