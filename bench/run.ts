/**
 * `npm run bench`: measurements side by side with real peers, interleaved in one run.
 *   --rounds N      pairs of runs for each measurement (5)
 *   --only A,B      only these sections; see `sections`
 *   --load TEXT     end to end: only loads whose name contains the text
 *   --scale X       multiplies the number of messages: 0.1 for a quick look (1)
 *   --out DIR       the directory of results.json and results.md (bench/results)
 *   --profile       profiles CPU time and allocations of each service under 20 sessions, and measures nothing
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { unlessNamespaces } from "../test/support/lab/network.ts";
import { searchPath, unlessInstalled, unlessRoot } from "../test/support/programs.ts";
import { endToEnd } from "./end-to-end.ts";
import { events } from "./events.ts";
import { fairness } from "./fairness.ts";
import { hosts } from "./hosts.ts";
import { inline } from "./inline.ts";
import { million } from "./million.ts";
import { mix } from "./mix.ts";
import type { BenchOptions } from "./options.ts";
import { outgoing } from "./outgoing.ts";
import { overview } from "./overview.ts";
import { profile } from "./profile/profile.ts";
import { markdown, type Section } from "./report.ts";
import { scaling } from "./scaling.ts";
import { several } from "./several.ts";
import { shards } from "./shards.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
    load: { type: "string", default: "" },
    scale: { type: "string", default: "1" },
    out: { type: "string", default: fileURLToPath(new URL("results", import.meta.url)) },
    profile: { type: "boolean", default: false },
  },
});

const withPostfix = () => unlessRoot() || unlessInstalled("postfix", "smtp-source", "smtp-sink");
const withSource = () => unlessInstalled("smtp-source", "smtp-sink", "redis-server");
const withRedis = () => unlessInstalled("redis-server");

/** In the order in which they run. `unless` returns why a section cannot run here, or false. */
const sections: Record<
  string,
  { unless(): false | string; measure(options: BenchOptions): Promise<Section> }
> = {
  "end-to-end": { unless: withPostfix, measure: (options) => endToEnd(options, values.load) },
  inline: { unless: withPostfix, measure: inline },
  mix: { unless: withPostfix, measure: mix },
  events: { unless: withSource, measure: events },
  outgoing: {
    unless: () => unlessNamespaces() || unlessInstalled("haproxy", "ss") || withSource(),
    measure: outgoing,
  },
  several: { unless: withSource, measure: several },
  shards: { unless: withSource, measure: shards },
  hosts: { unless: () => unlessNamespaces() || withSource(), measure: hosts },
  scaling: { unless: withRedis, measure: scaling },
  fairness: { unless: withSource, measure: fairness },
  million: { unless: withRedis, measure: million },
  overview: { unless: withRedis, measure: overview },
};

/** The first line of a program's version output, or `not installed`. */
function version(program: string, ...args: string[]): string {
  try {
    const said = execFileSync(program, args, {
      stdio: ["ignore", "pipe", "ignore"],
      env: { PATH: searchPath },
    });
    return said.toString().split("\n")[0]?.trim() ?? "";
  } catch {
    return "not installed";
  }
}

mkdirSync(values.out, { recursive: true });
if (values.profile) {
  await profile(values.out, (line) => console.log(line));
  process.exit(0);
}

const chosen = values.only?.split(",") ?? Object.keys(sections);
const unknown = chosen.filter((name) => !(name in sections));
if (unknown.length > 0) {
  console.error(`no such section: ${unknown.join(", ")}; there are: ${Object.keys(sections).join(", ")}`);
  process.exit(2);
}
const machine = {
  date: new Date().toISOString(),
  processor: `${cpus().length} × ${cpus()[0]?.model.trim()}`,
  memoryGiB: Math.round(totalmem() / 1024 ** 3),
  kernel: release(),
  node: process.version,
  redis: version("redis-server", "--version"),
  postfix: version("postconf", "-d", "-h", "mail_version"),
  haproxy: version("haproxy", "-v"),
};
console.log(machine);
const options: BenchOptions = {
  rounds: Number(values.rounds),
  scale: Number(values.scale),
  say: (line) => console.log(line),
};
const results: Section[] = [];
const skipped: Record<string, string> = {};
const failed: Record<string, string> = {};
/** Called after each section, so that a later error loses no figures. */
function write(): void {
  const { rounds, scale } = options;
  const figures = { machine, rounds, scale, skipped, failed, sections: results };
  writeFileSync(join(values.out, "results.json"), `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(join(values.out, "results.md"), markdown(results));
}
for (const name of chosen) {
  const section = sections[name];
  const why = section?.unless();
  if (why) {
    skipped[name] = why;
    console.log(`${name}: skipped: ${why}`);
  } else if (section !== undefined) {
    await section.measure(options).then(
      (result) => results.push(result),
      (error: Error) => {
        failed[name] = error.message;
        console.error(`${name}: ${error.message}`);
        process.exitCode = 1;
      },
    );
  }
  write();
}
console.log(`\n${markdown(results)}`);
