/** Finds the command that the words name, loads it and runs it, and turns its errors into exit statuses. */
import { CommanderError, Command as Parser } from "commander";
import { closest } from "../../shared/config/closest.ts";
import {
  type Command,
  type CommandEntry,
  CommandFailed,
  type CommandList,
  type Context,
  UsageError,
} from "./command-line/command.ts";
import { examplesText, helpConfiguration, nameOf, outputConfiguration } from "./command-line/help.ts";
import {
  commonHeading,
  configOption,
  declareOptions,
  parserOption,
  readValues,
} from "./command-line/options.ts";
import { usageError } from "./command-line/usage-errors.ts";

export interface Program {
  commands: CommandList;
  version: string;
}

type Io = Omit<Context, "configFile" | "admin">;

/**
 * @param given  the command line, without node and script
 * @returns 0, 1 (it failed), 2 (wrong use)
 */
export async function dispatch(program: Program, given: readonly string[], io: Io): Promise<number> {
  const words = helpLast(given);
  const run: Run = { program, words, io, status: 0, current: undefined, usage: "" };
  const root = buildParser(run);
  try {
    await root.parseAsync(words, { from: "user" });
    return run.status;
  } catch (error) {
    return statusOf(error, run, root);
  }
}

/** One run of the program. `current` is the command that has been loaded. */
interface Run {
  readonly program: Program;
  readonly words: readonly string[];
  readonly io: Io;
  status: number;
  current: Parser | undefined;
  usage: string;
}

/** `help queue list`, `queue help list` and `--help queue list` are `queue list --help`. */
function helpLast(given: readonly string[]): string[] {
  const end = given.indexOf("--");
  const head = given.slice(0, end < 0 ? undefined : end);
  const rest = head.filter((word) => word !== "--help" && word !== "-h");
  const at = rest.slice(0, 2).indexOf("help");
  if (rest.length === head.length && at < 0) return [...given];
  return [...(at < 0 ? rest : rest.toSpliced(at, 1)), "--help"];
}

function buildParser(run: Run): Parser {
  const { program, io, words } = run;
  const root = new Parser("postern")
    .usage("[-c FILE] COMMAND [OPTIONS]")
    .description("A queue-backed transparent SMTP gateway.")
    .configureHelp(helpConfiguration)
    .configureOutput(outputConfiguration(io.stdout, io.stderr))
    .exitOverride()
    .version(`postern ${program.version}`, "--version", "the version")
    .addOption(parserOption("config", configOption, words))
    .addHelpText(
      "after",
      "\n'postern COMMAND --help' shows how to use a command, with examples.\n" +
        "Exit status: 0, 1 (it failed, or nothing matched), 2 (wrong use).",
    );
  asGroup(root, run);
  const groups = new Map<string, Parser>();
  for (const [heading, entries] of Object.entries(program.commands)) {
    for (const entry of entries) {
      const [first = "", second] = entry.name.split(" ");
      let parent = root;
      if (second !== undefined) {
        parent = groups.get(first) ?? asGroup(root.command(first), run);
        groups.set(first, parent.usage("COMMAND [OPTIONS]").helpGroup(`${heading}:`));
      }
      addCommand(parent, second ?? first, heading, entry, run);
    }
  }
  for (const [name, group] of groups)
    group.addHelpText("after", `\n'postern ${name} COMMAND --help' shows how to use one of them.`);
  return root;
}

/** Declares a command by its name and summary; its file is loaded when the words name it. */
function addCommand(parent: Parser, word: string, heading: string, entry: CommandEntry, run: Run): void {
  const parser = parent
    .command(word)
    .summary(entry.summary)
    .description(`${entry.summary}.`)
    .helpGroup(`${heading}:`)
    .helpOption("-h, --help", "this help")
    .allowExcessArguments(false);
  loaders.set(parser, async () => {
    run.current = parser;
    const { command } = await entry.load();
    run.usage = command.usage;
    completeDeclaration(parser, entry, command, run);
  });
}

const loaders = new WeakMap<Parser, () => Promise<void>>();

function completeDeclaration(parser: Parser, entry: CommandEntry, command: Command, run: Run): void {
  parser.usage(command.usage);
  if (command.details !== undefined) parser.description(`${entry.summary}.\n\n${command.details}`);
  declareOptions(parser, command, run.words);
  // Given before or after the command, it is an option of the program: here it is a line of the help.
  parser.addOption(parserOption("config", configOption, run.words).helpGroup(commonHeading));
  parser.addHelpText("after", examplesText(command.examples));
  parser.action(async () => {
    const { url, token } = parser.opts<{ url?: string; token?: string }>();
    const admin = command.usesAdmin ? { url, token } : { url: undefined, token: undefined };
    const configFile = parser.optsWithGlobals<{ config?: string }>().config;
    const context: Context = { ...run.io, configFile, admin };
    run.status = await command.run(context, readValues(parser, command.options) as never, parser.args);
  });
}

/** The program, or a group such as `queue`: prints its help, or says that it has no such command. */
function asGroup(parser: Parser, run: Run): Parser {
  return parser
    .helpOption(false)
    .helpCommand(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .hook("preSubcommand", (_, child) => loaders.get(child)?.())
    .action(() => {
      const asksForHelp = run.words.at(-1) === "--help";
      const [word] = parser.args;
      if (word === undefined || (asksForHelp && word === "--help")) {
        if (asksForHelp) return parser.outputHelp();
        return withoutCommand(parser, run);
      }
      throw new UsageError(unknownWord(parser, word));
    });
}

function withoutCommand(parser: Parser, run: Run): void {
  if (parser.parent !== null) throw new UsageError(`${nameOf(parser)} needs one of: ${membersOf(parser)}`);
  parser.outputHelp({ error: true });
  run.status = 2;
}

function unknownWord(parser: Parser, word: string): string {
  if (word.startsWith("-")) return `has no option ${word}`;
  if (parser.parent === null) {
    const near = nearestCommand(parser, word);
    return `has no command '${word}'${near === undefined ? "" : ` (did you mean '${near}'?)`}`;
  }
  return `${nameOf(parser)} has no '${word}', only: ${membersOf(parser)}`;
}

/** A member of a group, such as `hold` of `queue`, is found by its own word, too. */
function nearestCommand(program: Parser, word: string): string | undefined {
  const names = program.commands.map((each) => each.name());
  const group = program.commands.find((each) => each.commands.some((member) => member.name() === word));
  return group === undefined ? closest(word, names) : `${group.name()} ${word}`;
}

function membersOf(group: Parser): string {
  return group.commands.map((each) => each.name()).join(", ");
}

function statusOf(error: unknown, run: Run, root: Parser): number {
  const { stderr } = run.io;
  if (error instanceof CommanderError) {
    // The help or the version was printed.
    if (error.exitCode === 0) return 0;
    return statusOf(usageError(error, run.current ?? root, run.words, run.usage), run, root);
  }
  if (error instanceof UsageError) {
    const name = `postern ${run.current === undefined ? "" : nameOf(run.current)}`.trimEnd();
    for (const line of error.lines ?? [`${name} ${error.message}; see '${name} --help'`])
      stderr.write(`${line}\n`);
    return 2;
  }
  if (error instanceof CommandFailed) {
    stderr.write(`postern: ${error.message}\n`);
    return 1;
  }
  throw error;
}
