/** Reads the configuration of all services from its one file; reports every mistake at once. Holds nothing open. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { type ConfigError, configErrorAt, type Finding, formatConfigError } from "./config-error.ts";
import { crossCheck } from "./cross-check.ts";
import { checkFiles, describeFileError, resolveFiles } from "./files.ts";
import { describeIssues } from "./issues.ts";
import { formatPath, isWithin, type Path, valueAt } from "./path.ts";
import { salvageConfig } from "./salvage.ts";
import { type Config, configSchema } from "./schema.ts";
import { readSource, type Source } from "./source.ts";

export type { ConfigError } from "./config-error.ts";

export type LoadedConfig =
  /** `file` as it was named; `data` and certificate files in `config` are absolute. */
  | { kind: "ok"; config: Config; file: string }
  /** In the order of the lines; at least one. */
  | { kind: "invalid"; file: string; configErrors: ConfigError[] };

export interface LoadOptions {
  /** From `-c`. */
  file?: string | undefined;
  /** For `$POSTERN_CONFIG` and `${NAME}`; the process's own when absent. */
  env?: Readonly<Record<string, string | undefined>>;
  /** What relative file names start from; the process's own when absent. */
  cwd?: string;
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
    text = readFileSync(absolute, "utf8");
  } catch (error) {
    const hint = options.file === undefined ? "; name another with -c FILE or $POSTERN_CONFIG" : "";
    const configError = configErrorAt([], 0, `${describeFileError("the configuration file", error)}${hint}`);
    return { kind: "invalid", file, configErrors: [configError] };
  }
  return { ...readConfig(text, path.dirname(absolute), env), file };
}

/**
 * The same for a text that stands in no file yet.
 * @param directory  what relative paths in it start from
 */
export function readConfig(
  text: string,
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
): { kind: "ok"; config: Config } | { kind: "invalid"; configErrors: ConfigError[] } {
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
  const parsed = parseWithVariables(root, source);
  const found = parsed.success ? [] : describeIssues(parsed.error.issues, root);
  const findings = found.filter((finding) => !source.isUnset(finding.path));
  findings.push(...checkWhole(parsed.success ? parsed.data : undefined, root, directory, source, found));
  const configErrors = [...source.configErrors, ...findings.map((finding) => locate(finding, source))];
  if (configErrors.length > 0 || !parsed.success) return invalid(configErrors);
  return { kind: "ok", config: resolveFiles(parsed.data, directory) };
}

/** A variable that looks like a number is text after all where the schema wants text: a password of digits. */
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

/** The checks across keys and of files; where the schema found mistakes, of what is right. */
function checkWhole(
  config: Config | undefined,
  root: object,
  directory: string,
  source: Source,
  known: readonly Finding[],
): Finding[] {
  const whole = config === undefined ? salvageConfig(root) : { config, originalPath: (path: Path) => path };
  if (whole === undefined) return [];
  const relayHosts = Object.keys(valueAt(root, ["relay", "hosts"]) ?? {});
  return [
    ...crossCheck(whole.config, new Set(relayHosts)),
    ...checkFiles(resolveFiles(whole.config, directory)),
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

function locate({ path: place, message, other }: Finding, source: Source): ConfigError {
  const clash = other === undefined ? "" : ` (${formatPath(other)}, line ${source.lineOf(other)})`;
  return configErrorAt(place, source.lineOf(place), message + clash);
}

function invalid(configErrors: ConfigError[]): { kind: "invalid"; configErrors: ConfigError[] } {
  return { kind: "invalid", configErrors: configErrors.toSorted((a, b) => a.line - b.line) };
}

/** One line for each mistake, as `postern config check` prints them. */
export function describeConfigErrors(loaded: LoadedConfig & { kind: "invalid" }): string[] {
  return loaded.configErrors.map((configError) => formatConfigError(loaded.file, configError));
}
