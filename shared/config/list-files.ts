/**
 * Lists that stand in files: `{ file: PATH }` in the place of a list, one entry a line, with `#` comments. They are read
 * before the schema, which sees an ordinary list. Entries with errors are reported with their line, and left out.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { type ConfigError, formatPath, isWithin, type Path } from "./config-error.ts";
import { describeFileError } from "./files.ts";
import { configJsonSchema, type JsonSchema, type ListKind } from "./json-schema.ts";
import { relayRoute } from "./schema-routing.ts";
import { domainPattern, network } from "./values.ts";

/** What a file had when it could be used. */
export interface ListFile {
  /** As the schema of the list wants them. */
  entries: readonly unknown[];
  /** Of each entry, from 1. */
  lines: readonly number[];
}

export interface ExpandedLists {
  /** By absolute path. */
  files: ReadonlyMap<string, ListFile>;
  errors: ConfigError[];
  /** Files that cannot be used now, one line each: what they had before is used. */
  kept: string[];
  /** Whether the list at this path could not be had. */
  isMissing(place: Path): boolean;
  /** The file and line of a value in a list of a file. */
  placeOf(place: Path): { file: string; line: number } | undefined;
}

export interface ListSource {
  /** Of relative file names. */
  directory: string;
  lineOf(place: Path): number;
  /** The lists that are in force; absent: a file that cannot be used is an error. */
  before?: ReadonlyMap<string, ListFile> | undefined;
}

/** Errors that are reported of one file. */
const maxErrors = 20;

/** Replaces the file references in `root`, which is the caller's own plain data. */
export function expandLists(root: unknown, source: ListSource): ExpandedLists {
  const files = new Map<string, ListFile>();
  const errors: ConfigError[] = [];
  const kept: string[] = [];
  const missing: Path[] = [];
  const places: { place: Path; name: string; list: ListFile }[] = [];

  function expand(
    container: Record<string | number, unknown>,
    key: string | number,
    place: Path,
    kind: ListKind,
  ) {
    const reference = container[key] as { file?: unknown };
    const fail = (message: string) => {
      errors.push({ path: formatPath(place), line: source.lineOf(place), message });
      missing.push(place);
      container[key] = [];
    };
    const others = Object.keys(reference).filter((name) => name !== "file");
    if (typeof reference.file !== "string" || reference.file === "" || others.length > 0)
      return fail("is neither a list nor { file: PATH }");
    const name = reference.file;
    const file = path.resolve(source.directory, name);
    const read = readList(file, name, kind);
    const before = source.before?.get(file);
    if (read.faults.length > 0 && before === undefined) {
      if (read.list === undefined) return fail(read.faults[0]?.message ?? "");
      errors.push(...read.faults.map((fault) => ({ ...fault, path: formatPath(place) })));
    } else if (read.faults.length > 0)
      kept.push(
        ...read.faults.map(({ line, message }) => `${line === 0 ? "" : `${name}:${line}: `}${message}`),
      );
    const list = read.faults.length > 0 && before !== undefined ? before : read.list;
    if (list === undefined) return;
    files.set(file, list);
    places.push({ place, name, list });
    container[key] = [...list.entries];
  }

  walk(configJsonSchema(), root, [], expand);
  return {
    files,
    errors,
    kept,
    isMissing: (place) => missing.some((list) => isWithin(place, list)),
    placeOf(place) {
      const found = places.find((list) => isWithin(place, list.place));
      if (found === undefined) return undefined;
      const index = place[found.place.length];
      return { file: found.name, line: typeof index === "number" ? (found.list.lines[index] ?? 1) : 1 };
    },
  };
}

type Expand = (
  container: Record<string | number, unknown>,
  key: string | number,
  place: Path,
  kind: ListKind,
) => void;

/** Finds the mappings that stand where the schema has a list that may be in a file. */
function walk(schema: JsonSchema, value: unknown, place: Path, expand: Expand): void {
  if (typeof value !== "object" || value === null) return;
  const container = value as Record<string | number, unknown>;
  for (const [name, inner] of Object.entries(container)) {
    const key = Array.isArray(value) ? Number(name) : name;
    const known = Array.isArray(value) ? schema.items : (schema.properties?.[name] ?? additional(schema));
    if (known === undefined || typeof inner !== "object" || inner === null) continue;
    if (known.fileList !== undefined && !Array.isArray(inner))
      expand(container, key, [...place, key], known.fileList);
    else if (known.type === "array" && known.items?.type !== "object") continue;
    else walk(known, inner, [...place, key], expand);
  }
}

function additional({ additionalProperties }: JsonSchema): JsonSchema | undefined {
  return typeof additionalProperties === "object" ? additionalProperties : undefined;
}

interface Fault {
  file: string;
  line: number;
  message: string;
}

function readList(file: string, name: string, kind: ListKind): { list?: ListFile; faults: Fault[] } {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    return { faults: [{ file: name, line: 0, message: describeFileError(file, error) }] };
  }
  const entries: unknown[] = [];
  const lines: number[] = [];
  const faults: Fault[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const content = raw.replace(/(^|\s)#.*/, "").trim();
    if (content === "") continue;
    const entry = kind === "route" ? readRoute(content) : content;
    const parsed = entrySchemas[kind].safeParse(entry);
    if (parsed.success) {
      entries.push(entry);
      lines.push(index + 1);
    } else {
      const message = entry === undefined ? notRoute : (parsed.error.issues[0]?.message ?? "");
      faults.push({ file: name, line: index + 1, message });
    }
  }
  const more = faults.length - maxErrors;
  if (more > 0) {
    const next = faults[maxErrors];
    faults.length = maxErrors;
    faults.push({ file: name, line: next?.line ?? 0, message: `and ${more} more lines have errors` });
  }
  return { list: { entries, lines }, faults };
}

const entrySchemas = { domain: domainPattern, network, route: relayRoute };

const notRoute =
  "is not a route: write `*@example.com isp`, or `from=*@example.net via=192.0.2.9:2525`; keys are to, from and via";

/** `TO VIA`, or `to=`, `from=` and `via=` in any order. Pure. */
function readRoute(line: string): Record<string, string> | undefined {
  const words = line.split(/\s+/);
  if (words.length === 2 && words.every((word) => !word.includes("="))) {
    const [to = "", via = ""] = words;
    return { to, via };
  }
  const route: Record<string, string> = {};
  for (const word of words) {
    const match = /^(to|from|via)=(.+)$/.exec(word);
    if (match?.[1] === undefined || match[2] === undefined || match[1] in route) return undefined;
    route[match[1]] = match[2];
  }
  return route;
}
