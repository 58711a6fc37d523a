/** Parses a configuration file: plain data with environment variables filled in, and the line of every value. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parse,
  parseDocument,
  type Scalar,
  stringify,
  type YAMLMap,
  type YAMLParseError,
  type YAMLWarning,
} from "yaml";
import { type ConfigError, configErrorAt, type Path } from "./config-error.ts";

export interface Source {
  /** Maps, lists and scalars; `undefined` when the text is not YAML at all. */
  value: unknown;
  /** Syntax errors, keys given twice, variables that are not set. */
  configErrors: ConfigError[];
  /** The line (from 1) of a value, or of the nearest enclosing value that exists. */
  lineOf(path: Path): number;
  /** Whether the value refers to a variable that is not set. */
  isUnset(path: Path): boolean;
  /** The text of the variable that is, unquoted and alone, the whole value. */
  variableText(path: Path): string | undefined;
}

/**
 * Stand for the braces of `${NAME}` while YAML is parsed, which would read an unquoted brace in `{ port: ${PORT} }` as
 * a map. Private-use characters of the same length, so that offsets stay the same.
 */
const open = "\u{e000}";
const close = "\u{e001}";

/** `$${` is an escaped `${`. */
const variable = /(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;
const reference = new RegExp(`\\$\\$\\{|\\$\\{|\\$${open}(\\w+)${close}`, "g");
const alone = new RegExp(`^\\$${open}\\w+${close}$`);

export function readSource(text: string, env: Readonly<Record<string, string | undefined>>): Source {
  const lines = new LineCounter();
  const document = parseDocument(text.replaceAll(variable, `$${open}$1${close}`), {
    lineCounter: lines,
    merge: true,
    prettyErrors: false,
    // The walker below finds duplicate keys, since it knows their paths.
    uniqueKeys: false,
    logLevel: "silent",
  });
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line);
  const configErrors: ConfigError[] = syntaxErrors(document).map((error) => ({
    path: "",
    line: lineAt(error.pos[0]),
    message: `is not YAML: ${withoutText(error.message)}`,
  }));
  const nothing = { lineOf: () => 1, isUnset: () => false, variableText: () => undefined };
  if (document.errors.length > 0) return { value: undefined, configErrors, ...nothing };

  const walker = new Walker(env, configErrors, (node) => lineAt(node.range?.[0] ?? 0));
  if (document.contents !== null) walker.walk(document.contents, []);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 1000 });
  } catch (error) {
    configErrors.push(configErrorAt([], 1, withoutText((error as Error).message)));
    return { value: undefined, configErrors, ...nothing };
  }
  return {
    value,
    configErrors,
    lineOf: (path) => lineAt(follow(document, path).offset),
    isUnset: (path) => walker.unset.has(follow(document, path).node),
    variableText: (path) => walker.variables.get(follow(document, path).node),
  };
}

/** Fills in variables in place, and finds duplicate keys. */
class Walker {
  readonly unset = new Set<Node | null>();
  readonly variables = new Map<Node | null, string>();
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #configErrors: ConfigError[];
  readonly #lineOf: (node: Node) => number;

  constructor(
    env: Readonly<Record<string, string | undefined>>,
    configErrors: ConfigError[],
    lineOf: (node: Node) => number,
  ) {
    this.#env = env;
    this.#configErrors = configErrors;
    this.#lineOf = lineOf;
  }

  walk(node: unknown, path: Path): void {
    if (isMap(node)) this.#walkMap(node, path);
    else if (isSeq(node)) {
      for (const [index, item] of node.items.entries()) this.walk(item, [...path, index]);
    } else if (isScalar(node)) this.#substitute(node, path);
    // An alias is skipped: its value is walked at the anchor.
  }

  #walkMap(map: YAMLMap, path: Path): void {
    const seen = new Set<string>();
    for (const pair of map.items) {
      if (isScalar(pair.key) && typeof pair.key.value === "string") {
        // Variables are for values only.
        pair.key.value = pair.key.value.replaceAll(open, "{").replaceAll(close, "}");
      }
      const key = keyText(pair);
      const keyPath = [...path, key];
      if (seen.has(key) && key !== "<<") {
        const line = isNode(pair.key) ? this.#lineOf(pair.key) : this.#lineOf(map);
        this.#configErrors.push(configErrorAt(keyPath, line, "is given twice"));
      }
      seen.add(key);
      this.walk(pair.value, keyPath);
    }
  }

  #substitute(scalar: Scalar, path: Path): void {
    if (typeof scalar.value !== "string" || !scalar.value.includes("$")) return;
    const problems: string[] = [];
    const filled = scalar.value.replaceAll(reference, (token, name?: string) => {
      if (token === "$${") return "${";
      if (name === undefined) {
        problems.push(`has a \${ without the name of a variable and }; $\${ stands for the two characters`);
        return token;
      }
      const value = this.#env[name];
      if (value === undefined) problems.push(`takes the environment variable ${name}, which is not set`);
      return value ?? token;
    });
    for (const problem of problems)
      this.#configErrors.push(configErrorAt(path, this.#lineOf(scalar), problem));
    if (problems.length > 0) {
      this.unset.add(scalar);
      return;
    }
    const whole = scalar.type === "PLAIN" && alone.test(scalar.value);
    scalar.value = whole ? readPlain(filled) : filled;
    if (whole) this.variables.set(scalar, filled);
  }
}

/** A variable's text as YAML would read it unquoted, where that is a number or a boolean. */
function readPlain(text: string): string | number | boolean {
  if (!/^[\w.+-]+$/.test(text)) return text;
  const value: unknown = parse(text, { logLevel: "silent" });
  return typeof value === "number" || typeof value === "boolean" ? value : text;
}

function keyText(pair: Pair): string {
  const key: unknown = isScalar(pair.key) ? pair.key.value : pair.key;
  // The package reads the merge key `<<` as a symbol.
  return typeof key === "symbol" ? (key.description ?? "") : String(key);
}

/** Follows a path as far as the document has it. */
function follow(document: Document.Parsed, path: Path): { node: Node | null; offset: number } {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const step of path) {
    const pair = isMap(node) ? findPair(document, node, String(step)) : undefined;
    const item: unknown = isSeq(node) && typeof step === "number" ? node.items[step] : pair?.value;
    if (pair === undefined && item === undefined) return { node: null, offset };
    const place = pair === undefined ? item : pair.key;
    if (isNode(place) && place.range) offset = place.range[0];
    node = resolveAlias(document, item);
  }
  return { node, offset };
}

/** The last pair of that key, as in the value; otherwise one that `<<` merges in. */
function findPair(document: Document.Parsed, map: YAMLMap, key: string): Pair | undefined {
  const own = map.items.findLast((pair) => keyText(pair) === key);
  if (own !== undefined) return own;
  for (const pair of map.items) {
    if (keyText(pair) !== "<<") continue;
    const merged = resolveAlias(document, pair.value);
    for (const candidate of isSeq(merged) ? merged.items : [merged]) {
      const source = resolveAlias(document, candidate);
      const found = isMap(source) ? findPair(document, source, key) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function resolveAlias(document: Document.Parsed, value: unknown): Node | null {
  if (isAlias(value)) return value.resolve(document) ?? null;
  return isNode(value) ? value : null;
}

/** Leaves out the errors that only follow from the first unexpected token. */
function syntaxErrors(document: Document.Parsed): (YAMLParseError | YAMLWarning)[] {
  const first = document.errors.findIndex((error) => error.code === "UNEXPECTED_TOKEN");
  const errors = first < 0 ? document.errors : document.errors.slice(0, first + 1);
  return [...errors, ...document.warnings];
}

/** The message without the text of the file that the parser puts behind a colon: it may be a password. */
function withoutText(message: string): string {
  const [line = ""] = message.split("\n", 1);
  const quotes = /^(?:Unresolved (?:alias|tag)|Unexpected .* token|Invalid escape sequence)/.exec(line);
  if (quotes === null) return line;
  const [kept = ""] = line.split(/: | \\/, 1);
  const hint = /alias|tag/.test(kept) ? "; a text that begins with *, & or ! needs quotes" : "";
  return `${kept.trimEnd()}${hint}`;
}

/** Maps, lists and scalars as YAML. A `${` in a text is written so that it is read as text. */
export function formatYaml(value: Record<string, unknown>): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }).replaceAll("${", () => "$${");
}
