/** Turns errors of the parser into ours: one line that says what is wrong. Pure. */
import type { Command as Parser } from "commander";
import { UsageError } from "./command.ts";

/**
 * @param parser  that met the error
 * @param words   the whole command line
 * @param usage   of the command, for missing arguments
 */
export function usageError(
  error: { code: string; message: string },
  parser: Parser,
  words: readonly string[],
  usage: string,
): UsageError {
  return new UsageError(describe(error, parser, words, usage));
}

function describe(
  { code, message }: { code: string; message: string },
  parser: Parser,
  words: readonly string[],
  usage: string,
): string {
  const quoted = /'([^']*)'/.exec(message)?.[1] ?? "";
  switch (code) {
    case "commander.unknownOption": {
      const [name = quoted] = /^--[^=]+/.exec(quoted) ?? [];
      // `--dry=yes`: the parser does not know a flag that comes with a value.
      if (name !== quoted && parser.options.some(({ long }) => long === name))
        return `takes no value for ${name}`;
      const near = /\(Did you mean ([^)]*)\?\)/.exec(message)?.[1];
      return `has no option ${name}${near === undefined ? "" : ` (did you mean ${near}?)`}`;
    }
    case "commander.optionMissingArgument":
      // Only the last word can lack one.
      return `needs a value for ${words.at(-1)}: ${/<(.*)>/.exec(quoted)?.[1]}`;
    case "commander.excessArguments":
      return `takes no argument '${parser.args[parser.registeredArguments.length]}'`;
    case "commander.missingArgument":
      return `needs more arguments: ${usage}`;
    default:
      return message.replace(/^error: /, "").replaceAll("\n", " ");
  }
}
