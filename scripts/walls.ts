/** Checks every import of the source against the table of rooms: `node scripts/walls.ts`, a part of `npm run lint`. */
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { packages, type Room, rooms } from "./rooms.ts";

export interface Walls {
  rooms: Record<string, Room>;
  packages: Record<string, readonly string[]>;
}

interface Import {
  file: string;
  line: number;
  /** As written: `./spool.ts`, `node:fs`, `bullmq`. */
  specifier: string;
  /** Erased before the program runs. */
  isType: boolean;
}

/** Modules of Node with sockets, files, timers, the clock or the environment. */
const impureModules =
  /^node:(child_process|cluster|dgram|dns|fs|http|http2|https|net|os|perf_hooks|process|readline|timers|tls|worker_threads)(\/|$)/;
const impurePackages = new Set([
  "bullmq",
  "dns2",
  "fastify",
  "ioredis",
  "koffi",
  "pino",
  "prom-client",
  "smtp-server",
]);
/** The same as globals, without an import. */
const impureGlobals =
  /\b(Date\.now|new Date\(\)|Math\.random|performance\.|process\.|set(?:Timeout|Interval|Immediate)\()/;

/**
 * Finds every import that the table does not allow, one line each: `FILE:LINE imports X: reason`.
 * @param sources  text by path from the root of the repository: every .ts of shared/ and services/
 */
export function findBreaches(sources: ReadonlyMap<string, string>, walls: Walls): string[] {
  const imports = [...sources].flatMap(([file, text]) => importsOf(file, text));
  return [
    ...imports.flatMap((each) => breachOf(each, walls)),
    ...impureFiles(sources, imports, walls),
    ...faultsOfTable(sources, imports, walls),
  ];
}

const statement =
  /^(?:import|export)\s+(type\s+)?(?:[\w*]+(?:\s+as\s+\w+)?\s*,?\s*)?(?:\{([^}]*)\}\s*)?from\s*["']([^"']+)["']/gm;
const bareOrDynamic = /^import\s*["']([^"']+)["']|\b(?:import|require)\(\s*["']([^"']+)["']/gm;

function importsOf(file: string, text: string): Import[] {
  const lineAt = (index: number): number => text.slice(0, index).split("\n").length;
  const found: Import[] = [];
  for (const match of text.matchAll(statement)) {
    const [whole, type, names, specifier = ""] = match;
    const areTypes =
      names?.split(",").every((name) => /^\s*(type\s|$)/.test(name)) && !/^\w+\s+\w+\s*,/.test(whole);
    found.push({
      file,
      line: lineAt(match.index),
      specifier,
      isType: type !== undefined || areTypes === true,
    });
  }
  for (const match of text.matchAll(bareOrDynamic)) {
    found.push({ file, line: lineAt(match.index), specifier: match[1] ?? match[2] ?? "", isType: false });
  }
  return found;
}

function breachOf(each: Import, { rooms, packages }: Walls): string[] {
  const reason = reasonAgainst(each, rooms, packages);
  return reason === undefined ? [] : [`${each.file}:${each.line} imports ${each.specifier}: ${reason}`];
}

function reasonAgainst(each: Import, rooms: Walls["rooms"], packages: Walls["packages"]): string | undefined {
  const { file, specifier } = each;
  if (specifier.startsWith("node:")) return undefined;
  if (!specifier.startsWith(".")) {
    const owners = packages[packageOf(specifier)];
    if (owners === undefined) return "the table of packages does not have it";
    if (owners.some((owner) => isWithin(file, owner))) return undefined;
    return `${packageOf(specifier)} is imported in ${owners.join(", ")} only`;
  }
  const from = path.dirname(file);
  const to = path.dirname(targetOf(each));
  if (to === from) return undefined;
  if (!/^(shared|services)(\/|$)/.test(to)) return "source imports nothing but shared/ and services/";
  if (/^shared(\/|$)/.test(from) && to.startsWith("services/")) return "shared/ imports no service";
  if (from.startsWith("services/") && to.startsWith("services/") && serviceOf(from) !== serviceOf(to))
    return "services import shared/, never each other; they meet in the queue contract";
  const room = rooms[from];
  // A room without a row is reported once, not for each import.
  if (room === undefined || room.imports.includes(to)) return undefined;
  return `${from} may import ${room.imports.join(", ") || "no other room"}`;
}

/** Finds files of pure rooms that are impure themselves, or reach an impure module by their imports. */
function impureFiles(sources: ReadonlyMap<string, string>, imports: Import[], { rooms }: Walls): string[] {
  const byFile = Map.groupBy(
    imports.filter(({ isType }) => !isType),
    ({ file }) => file,
  );
  const isPure = (file: string): boolean => rooms[path.dirname(file)]?.pure === true;
  const breaches: string[] = [];
  /** The way from a pure file through files of other rooms to an impure module. */
  const wayOut = (file: string, seen: Set<string>): string[] | undefined => {
    for (const each of byFile.get(file) ?? []) {
      if (impureModules.test(each.specifier) || impurePackages.has(packageOf(each.specifier)))
        return [each.specifier];
      if (!each.specifier.startsWith(".")) continue;
      const target = targetOf(each);
      if (isPure(target) || seen.has(target)) continue;
      const rest = wayOut(target, seen.add(target));
      if (rest !== undefined) return [target, ...rest];
    }
    return undefined;
  };
  for (const [file, text] of sources) {
    if (!isPure(file)) continue;
    const way = wayOut(file, new Set());
    if (way !== undefined) {
      const line = byFile
        .get(file)
        ?.find((each) => each.specifier === way[0] || targetOf(each) === way[0])?.line;
      breaches.push(`${file}:${line} imports ${way.join(", which imports ")}: ${path.dirname(file)} is pure`);
    }
    text.split("\n").forEach((line, index) => {
      const used = /^\s*(\*|\/[*/])/.test(line) ? undefined : impureGlobals.exec(line)?.[1];
      if (used !== undefined)
        breaches.push(`${file}:${index + 1} uses ${used}: ${path.dirname(file)} is pure`);
    });
  }
  return breaches;
}

/** Finds errors of the table itself: missing rooms, rooms without files, unused imports, cycles. */
function faultsOfTable(sources: ReadonlyMap<string, string>, imports: Import[], walls: Walls): string[] {
  const { rooms, packages } = walls;
  const directories = new Set([...sources.keys()].map((file) => path.dirname(file)));
  const faults = [...directories]
    .filter((directory) => rooms[directory] === undefined)
    .map((directory) => `${directory} is not in the table: give it a row, with a sentence of purpose`);
  const used = new Set<string>();
  for (const each of imports) {
    const isFile = each.specifier.startsWith(".");
    if (isFile) used.add(`${path.dirname(each.file)} ${path.dirname(targetOf(each))}`);
    else
      for (const owner of packages[packageOf(each.specifier)] ?? []) {
        if (isWithin(each.file, owner)) used.add(`${packageOf(each.specifier)} ${owner}`);
      }
  }
  for (const [name, { imports }] of Object.entries(rooms)) {
    if (!directories.has(name)) faults.push(`${name} has a row, but no file`);
    for (const to of imports) {
      if (!used.has(`${name} ${to}`))
        faults.push(`${name} does not import ${to} any more: take it out of the row`);
    }
  }
  for (const [name, owners] of Object.entries(packages)) {
    for (const owner of owners) {
      if (!used.has(`${name} ${owner}`))
        faults.push(`${owner} does not import ${name} any more: take it out of the row`);
    }
  }
  const cycle = findCycle(rooms);
  if (cycle !== undefined) faults.push(`rooms import each other: ${cycle.join(" → ")}`);
  return faults.map((fault) => `scripts/rooms.ts: ${fault}`);
}

function findCycle(rooms: Walls["rooms"]): string[] | undefined {
  const done = new Set<string>();
  const visit = (name: string, above: string[]): string[] | undefined => {
    if (above.includes(name)) return [...above.slice(above.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const to of rooms[name]?.imports ?? []) {
      const cycle = visit(to, [...above, name]);
      if (cycle !== undefined) return cycle;
    }
    done.add(name);
    return undefined;
  };
  for (const name of Object.keys(rooms)) {
    const cycle = visit(name, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

function targetOf({ file, specifier }: Import): string {
  return path.join(path.dirname(file), specifier);
}

/** `@bull-board/api/bullMQAdapter` is of `@bull-board/api`. */
function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function isWithin(file: string, place: string): boolean {
  return file === place || file.startsWith(`${place}/`);
}

/** `services/cli/queue` is of `services/cli`. */
function serviceOf(directory: string): string {
  return directory.split("/").slice(0, 2).join("/");
}

/** Every .ts of shared/ and services/, by its path from the root. */
export function readSources(root: string): Map<string, string> {
  const files = globSync("{shared,services}/**/*.ts", { cwd: root }).sort();
  return new Map(files.map((file) => [file, readFileSync(path.join(root, file), "utf8")]));
}

if (import.meta.main) {
  const breaches = findBreaches(readSources(path.join(import.meta.dirname, "..")), { rooms, packages });
  for (const breach of breaches) console.error(breach);
  if (breaches.length > 0)
    console.error("The table of rooms is scripts/rooms.ts: a new import may go down, never up.");
  process.exitCode = breaches.length === 0 ? 0 : 1;
}
