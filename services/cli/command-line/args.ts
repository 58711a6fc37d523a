/** Defines commands: parses their words into typed options, and makes their help and the errors for wrong use. */
import { parseArgs } from "node:util";
import { closest } from "../../../shared/config/closest.ts";

export interface Context {
  /** From `-c`, before or after the command; `undefined` when it was not given. */
  configFile: string | undefined;
  stdin: NodeJS.ReadStream;
  stdout: Output;
  stderr: Output;
}

export interface Output {
  write(text: string): unknown;
  /** The width, when it is a terminal. */
  columns?: number | undefined;
}

/** Wrong use, exit status 2: one line, or one for each error of a configuration file. */
export class UsageError extends Error {
  override name = "UsageError";
  /** Printed unchanged, in place of the message. */
  readonly lines: readonly string[] | undefined;

  constructor(message: string, lines?: readonly string[]) {
    super(message);
    this.lines = lines;
  }
}

/** The command failed, exit status 1: one line without a stack. */
export class CommandFailed extends Error {
  override name = "CommandFailed";
}

export interface Command {
  /** One word or two: `explain`, `config check`. */
  name: string;
  /** For the list of commands. */
  summary: string;
  /** The whole help text, beginning with `usage: postern …`. */
  help: string;
  /**
   * @param words  the words after the name, without `-c FILE`
   * @returns the exit status
   * @throws UsageError, CommandFailed
   */
  run(context: Context, words: string[]): Promise<number>;
}

export interface Option {
  type: "string" | "boolean";
  short?: string;
  /** May be given several times. */
  multiple?: boolean;
  required?: boolean;
  /** The placeholder for the value in the help: `FILE`. */
  value?: string;
  help: string;
}

type Options = Record<string, Option>;

export type Values<O extends Options> = {
  [K in keyof O]: O[K] extends { multiple: true }
    ? string[]
    : O[K] extends { type: "boolean" }
      ? boolean
      : O[K] extends { required: true }
        ? string
        : string | undefined;
};

export interface CommandDefinition<O extends Options> {
  name: string;
  summary: string;
  /** The words after the name: `--client IP [--json]`. */
  usage: string;
  options: O;
  /** The number of words that are no options; none when absent. */
  positionals?: { min: number; max: number };
  run(context: Context, values: Values<O>, positionals: string[]): Promise<number>;
}

/** A command whose options are parsed, checked and listed in its help. */
export function defineCommand<const O extends Options>(definition: CommandDefinition<O>): Command {
  const { name, summary, usage, options, positionals } = definition;
  return {
    name,
    summary,
    help: commandHelp(`usage: postern ${name} ${usage}`.trimEnd(), summary, options),
    run(context, words) {
      const parsed = parseWords(words, options);
      const { min, max } = positionals ?? { min: 0, max: 0 };
      const extra = parsed.positionals[max];
      if (extra !== undefined) throw new UsageError(`takes no argument '${extra}'`);
      if (parsed.positionals.length < min) throw new UsageError(`needs more arguments: ${usage}`);
      return definition.run(context, parsed.values, parsed.positionals);
    },
  };
}

function parseWords<O extends Options>(
  words: string[],
  options: O,
): { values: Values<O>; positionals: string[] } {
  const { tokens, positionals } = parseArgs({
    args: words,
    options: Object.fromEntries(
      Object.entries(options).map(([name, { type, short }]) => [
        name,
        short === undefined ? { type } : { type, short },
      ]),
    ),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const given = new Map<string, (string | true)[]>();
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) throw unknownOption(token.rawName, Object.keys(options));
    const earlier = given.get(token.name) ?? [];
    if (earlier.length > 0 && !option.multiple && option.type === "string") {
      throw new UsageError(`takes ${token.rawName} only once`);
    }
    given.set(token.name, [...earlier, readValue(token.rawName, option, token.value, token.inlineValue)]);
  }
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const all = given.get(name);
    if (all === undefined && option.required) {
      throw new UsageError(`needs --${name} ${option.value ?? ""}`.trimEnd());
    }
    if (option.multiple) values[name] = all ?? [];
    else values[name] = option.type === "boolean" ? all !== undefined : all?.[0];
  }
  return { values: values as Values<O>, positionals };
}

function readValue(
  rawName: string,
  option: Option,
  value: string | undefined,
  inline: boolean | undefined,
): string | true {
  if (option.type === "boolean") {
    if (value !== undefined) throw new UsageError(`takes no value for ${rawName}`);
    return true;
  }
  // In `--to --json` the value is missing; a value that begins with a dash is written `--to=-x`.
  if (value === undefined || (!inline && value.startsWith("-") && value !== "-")) {
    throw new UsageError(`needs a value for ${rawName}: ${option.value ?? "TEXT"}`);
  }
  return value;
}

function unknownOption(rawName: string, known: string[]): UsageError {
  const near = rawName.startsWith("--") ? closest(rawName.slice(2), known) : undefined;
  const hint = near === undefined ? "" : `; did you mean --${near}?`;
  return new UsageError(`has no option ${rawName}${hint}`);
}

function commandHelp(usage: string, summary: string, options: Options): string {
  const rows = Object.entries(options).map(([name, { short, value, type, help }]) => {
    const dashes = short === undefined ? `--${name}` : `-${short}, --${name}`;
    return [type === "string" ? `${dashes} ${value ?? "TEXT"}` : dashes, help] as const;
  });
  rows.push(["-c, --config FILE", "the configuration; else $POSTERN_CONFIG, else ./postern.yaml"]);
  return [usage, "", `${summary}.`, "", ...columns(rows)].join("\n");
}

/** Two columns, indented. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
