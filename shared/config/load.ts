/** Reads the configuration of all services from one file, and reports all errors at once. Keeps nothing open. */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  type ConfigError,
  configErrorAt,
  type Finding,
  formatConfigError,
  formatPath,
  isWithin,
  type Path,
  valueAt,
} from "./config-error.ts";
import { crossCheck } from "./cross-check.ts";
import { checkFiles, describeFileError, resolveFiles, watchedFiles } from "./files.ts";
import { describeIssues } from "./issues.ts";
import { type ExpandedLists, expandLists, type ListFile } from "./list-files.ts";

import { salvageConfig } from "./salvage.ts";
import { type Config, configSchema } from "./schema.ts";
import { readSource, type Source } from "./source.ts";
import { findWarnings } from "./warnings.ts";

export type { ConfigError } from "./config-error.ts";

export type LoadedConfig =
  /** `file` as given; `data` and certificate files in `config` are absolute. */
  | {
      kind: "ok";
      config: Config;
      file: string;
      warnings: ConfigError[];
      /** Of the file; a running service keeps it while it reads the files that it names again. */
      text: string;
      /** The files that the configuration names and whose changes a running service takes, absolute. */
      files: string[];
      /** What its lists in files had, by absolute path. */
      lists: ReadonlyMap<string, ListFile>;
      /** Of `before`: files that cannot be used now, one line each; what they had then is used. */
      kept: string[];
    }
  /** At least one error, in the order of lines. */
  | { kind: "invalid"; file: string; configErrors: ConfigError[] };

export interface LoadOptions {
  /** From `-c`. */
  file?: string | undefined;
  /** For `$POSTERN_CONFIG` and `${NAME}`. Absent: that of the process. */
  env?: Readonly<Record<string, string | undefined>>;
  /** The directory of relative file names. Absent: that of the process. */
  cwd?: string;
  /** Read the files that this configuration names, and use its text in place of the file's. */
  before?: LoadedConfig & { kind: "ok" };
}

/** `-c FILE`, else `$POSTERN_CONFIG`, else `./postern.yaml`. */
function findConfigFile({ file, env = process.env }: LoadOptions): string {
  return file ?? (env.POSTERN_CONFIG || "postern.yaml");
}

export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const { env = process.env, cwd = process.cwd() } = options;
  const file = findConfigFile(options);
  const absolute = path.resolve(cwd, file);
  let text: string;
  try {
    text = options.before?.text ?? readFileSync(absolute, "utf8");
  } catch (error) {
    const hint = options.file === undefined ? "; name another with -c FILE or $POSTERN_CONFIG" : "";
    const configError = configErrorAt([], 0, `${describeFileError("the configuration file", error)}${hint}`);
    return { kind: "invalid", file, configErrors: [configError] };
  }
  return { ...readConfig(text, path.dirname(absolute), env, options.before), file };
}

/**
 * The parts of the file that are valid, for commands that look at a running gateway: its file may have got errors since
 * it was read.
 * @returns `undefined` when nothing can be made of it
 */
export function loadValidPart(options: LoadOptions = {}): Config | undefined {
  const { env = process.env, cwd = process.cwd() } = options;
  const absolute = path.resolve(cwd, findConfigFile(options));
  try {
    const { value, lineOf } = readSource(readFileSync(absolute, "utf8"), env);
    expandLists(value, { directory: path.dirname(absolute), lineOf });
    const salvaged = salvageConfig(value);
    return salvaged && resolveFiles(salvaged.config, path.dirname(absolute));
  } catch {
    return undefined;
  }
}

/**
 * Reads a configuration from text.
 * @param directory  the directory of relative file names in it
 * @param before     the configuration in force: files that cannot be used now have what they had in it
 */
export function readConfig(
  text: string,
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
  before?: LoadedConfig & { kind: "ok" },
): Omit<LoadedConfig & { kind: "ok" }, "file"> | { kind: "invalid"; configErrors: ConfigError[] } {
  const source = readSource(text, env);
  const root = source.value;
  if (root === undefined) return { kind: "invalid", configErrors: source.configErrors };
  if (root === null) {
    return invalid([
      ...source.configErrors,
      configErrorAt([], 1, "is empty: it needs hostname and listeners"),
    ]);
  }
  if (typeof root !== "object" || Array.isArray(root)) {
    return invalid([
      ...source.configErrors,
      configErrorAt([], 1, "is not a mapping: it needs `key: value` lines"),
    ]);
  }
  const lists = expandLists(root, { directory, lineOf: source.lineOf, before: before?.lists });
  const parsed = parseWithVariables(root, source);
  const found = parsed.success ? [] : describeIssues(parsed.error.issues, root);
  const findings = found.filter(({ path }) => !source.isUnset(path) && !lists.isMissing(path));
  findings.push(
    ...checkWhole(
      parsed.success ? parsed.data : undefined,
      root,
      directory,
      source,
      found,
      before === undefined,
    ),
  );
  const configErrors = [
    ...source.configErrors,
    ...lists.errors,
    ...findings.map((finding) => locate(finding, source, lists)),
  ];
  if (configErrors.length > 0 || !parsed.success) return invalid(configErrors);
  const warnings = findWarnings(parsed.data).map((finding) => locate(finding, source, lists));
  const config = resolveFiles(parsed.data, directory);
  const files = [...watchedFiles(config), ...lists.files.keys()];
  return { kind: "ok", config, warnings, text, files, lists: lists.files, kept: lists.kept };
}

/** A variable that looks like a number stays text where the schema wants text, as for a password of digits. */
function parseWithVariables(root: object, source: Source): ReturnType<typeof configSchema.safeParse> {
  const parsed = configSchema.safeParse(root);
  if (parsed.success) return parsed;
  let changed = false;
  for (const issue of parsed.error.issues) {
    const text = source.variableText(issue.path as Path);
    const parent = valueAt(root, (issue.path as Path).slice(0, -1));
    const key = issue.path.at(-1);
    if (text === undefined || typeof parent !== "object" || parent === null || key === undefined) continue;
    const value = parent as Record<PropertyKey, unknown>;
    if (value[key] === text) continue;
    value[key] = text;
    changed = true;
  }
  return changed ? configSchema.safeParse(root) : parsed;
}

/** The checks across keys and of files. Where the schema found errors, the valid rest is checked. */
function checkWhole(
  config: Config | undefined,
  root: object,
  directory: string,
  source: Source,
  known: readonly Finding[],
  withFiles: boolean,
): Finding[] {
  const whole = config === undefined ? salvageConfig(root) : { config, originalPath: (path: Path) => path };
  if (whole === undefined) return [];
  const relayHosts = Object.keys(valueAt(root, ["relay", "hosts"]) ?? {});
  return [
    ...crossCheck(whole.config, new Set(relayHosts)),
    ...(withFiles ? checkFiles(resolveFiles(whole.config, directory)) : []),
  ]
    .map((finding) => ({
      ...finding,
      path: whole.originalPath(finding.path),
      ...(finding.other === undefined ? {} : { other: whole.originalPath(finding.other) }),
    }))
    .filter(({ path: place }) => !source.isUnset(place))
    .filter(
      ({ path: place }) => !known.some((other) => isWithin(other.path, place) || isWithin(place, other.path)),
    );
}

function locate({ path: place, message, other }: Finding, source: Source, lists: ExpandedLists): ConfigError {
  const listed = lists.placeOf(place);
  const clash = other === undefined ? "" : ` (${describePlace(other, source, lists)})`;
  const error = configErrorAt(place, listed?.line ?? source.lineOf(place), message + clash);
  return listed === undefined ? error : { ...error, file: listed.file };
}

function describePlace(place: Path, source: Source, lists: ExpandedLists): string {
  const listed = lists.placeOf(place);
  return listed === undefined
    ? `${formatPath(place)}, line ${source.lineOf(place)}`
    : `${listed.file}:${listed.line}`;
}

function invalid(configErrors: ConfigError[]): { kind: "invalid"; configErrors: ConfigError[] } {
  return { kind: "invalid", configErrors: configErrors.toSorted((a, b) => a.line - b.line) };
}

/** One line for each part of a valid configuration that has no effect. */
export function describeWarnings(loaded: LoadedConfig & { kind: "ok" }): string[] {
  return loaded.warnings.map((warning) => `warning: ${formatConfigError(loaded.file, warning)}`);
}

/** One line for each error, as `postern config check` prints them. */
export function describeConfigErrors(loaded: LoadedConfig & { kind: "invalid" }): string[] {
  return loaded.configErrors.map((configError) => formatConfigError(loaded.file, configError));
}
