/** Declares the options of a command to the parser, and reads their values from it. */
import { Argument, type Command as Parser, Option as ParserOption } from "commander";
import { type Command, type Option, type Options, UsageError } from "./command.ts";

export const configOption = {
  type: "string",
  short: "c",
  value: "FILE",
  help: "the configuration; else $POSTERN_CONFIG, else ./postern.yaml",
} as const;

export const adminOptions: Options = {
  url: { type: "string", value: "URL", help: "ask the admin at this address, without a configuration" },
  token: { type: "string", value: "TOKEN", help: "for the admin; else the one of the configuration" },
};

/** @param words  the whole command line */
export function declareOptions(parser: Parser, command: Command, words: readonly string[]): void {
  for (const [name, option] of Object.entries(command.options))
    parser.addOption(parserOption(name, option, words));
  if (command.usesAdmin)
    for (const [name, option] of Object.entries(adminOptions))
      parser.addOption(parserOption(name, option, words).helpGroup(commonHeading));
  const { min, max } = command.positionals ?? { min: 0, max: 0 };
  const variadic = max > 10;
  for (let index = 0; index < (variadic ? 1 : max); index++) {
    const name = variadic ? "WORD..." : `WORD${index + 1}`;
    parser.addArgument(new Argument(index < min ? `<${name}>` : `[${name}]`));
  }
}

/** The heading above options that many commands have. */
export const commonHeading = "Common options:";

/** @param words  the whole command line */
export function parserOption(name: string, option: Option, words: readonly string[]): ParserOption {
  const { short, type, value = "TEXT", help } = option;
  const flags = `${short === undefined ? "" : `-${short}, `}--${name}${type === "string" ? ` <${value}>` : ""}`;
  const declared = new ParserOption(flags, help).hideHelp(option.hidden === true);
  if (type === "boolean") return declared;
  return declared.argParser<unknown>((given, earlier) => {
    const flag = flagAsGiven(name, short, given, words);
    if (!option.multiple && earlier !== undefined) throw new UsageError(`takes ${flag} only once`);
    if (isFlag(given) && !words.includes(`--${name}=${given}`) && !words.includes(`-${short}${given}`))
      throw new UsageError(`needs a value for ${flag}: ${value}`);
    if (option.choices !== undefined && !option.choices.includes(given))
      throw new UsageError(`knows no ${name} '${given}', only: ${option.choices.join(", ")}`);
    return option.multiple ? [...((earlier as string[] | undefined) ?? []), given] : given;
  });
}

/** In `--to --json` the value is missing; a value that begins with a dash is written `--to=-x`. */
function isFlag(given: string): boolean {
  return given.startsWith("-") && given !== "-";
}

function flagAsGiven(
  name: string,
  short: string | undefined,
  given: string,
  words: readonly string[],
): string {
  const before = words[words.lastIndexOf(given) - 1];
  return short !== undefined && before === `-${short}` ? before : `--${name}`;
}

/** The values of all options that the command declares. @throws UsageError when one that it needs is missing */
export function readValues(parser: Parser, options: Options): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type, multiple, required, value: placeholder = "" }]) => {
      const value: unknown = parser.getOptionValue(new ParserOption(`--${name}`).attributeName());
      // Not left to the parser, which complains of it before it complains of a misspelt option.
      if (value === undefined && required) throw new UsageError(`needs --${name} ${placeholder}`.trimEnd());
      return [name, value ?? (multiple ? [] : type === "boolean" ? false : undefined)];
    }),
  );
}
