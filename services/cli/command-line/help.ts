/** How the help looks: the layout of the parser's own, with whole names of commands, examples and the exit status. */
import { styleText } from "node:util";
import type { HelpConfiguration, Command as Parser } from "commander";
import type { Example, Output } from "./command.ts";

/** Bold headings; the parser takes them out again where the output has no colours. */
export const helpConfiguration: HelpConfiguration = {
  styleTitle: (title) => styleText("bold", title === "Usage:" ? "usage:" : title, { validateStream: false }),
  // `queue list` stands in the list of the program, under the heading of its entry.
  visibleCommands: (parser) => leavesOf(parser),
  subcommandTerm: nameOf,
  subcommandDescription: (parser) => parser.summary(),
};

/** `queue list`, without the name of the program. */
export function nameOf(parser: Parser): string {
  const parent = parser.parent;
  if (parent === null) return "";
  return `${nameOf(parent)} ${parser.name()}`.trimStart();
}

function leavesOf(parser: Parser): Parser[] {
  return parser.commands.flatMap((each) => (each.commands.length > 0 ? leavesOf(each) : [each]));
}

/** Where the parser writes, and how wide. Errors are not written: they are thrown. */
export function outputConfiguration(stdout: Output, stderr: Output) {
  return {
    writeOut: (text: string) => void stdout.write(text),
    writeErr: (text: string) => void stderr.write(text),
    outputError: () => {},
    getOutHelpWidth: () => stdout.columns ?? widthWithoutTerminal,
    getErrHelpWidth: () => stderr.columns ?? widthWithoutTerminal,
    getOutHasColors: () => stdout.hasColors?.() ?? false,
    getErrHasColors: () => stderr.hasColors?.() ?? false,
  };
}

const widthWithoutTerminal = 120;

/** The examples of a command, each below what it is for. */
export function examplesText(examples: readonly Example[]): string {
  const lines = examples.flatMap(([purpose, words]) => [`  # ${purpose}`, `  postern ${words}`]);
  return `\nExamples:\n${lines.join("\n")}`;
}
