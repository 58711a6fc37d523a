/** Finds the command that the words name, runs it, and turns its errors into exit statuses. */
import { closest } from "../../shared/config/closest.ts";
import { type Command, CommandFailed, type Context, columns, UsageError } from "./command-line/args.ts";

export interface Program {
  commands: readonly Command[];
  version: string;
}

/**
 * @param words  of the command line, without node and script
 * @returns 0, 1 (it failed), 2 (wrong use)
 */
export async function dispatch(
  program: Program,
  words: readonly string[],
  io: Omit<Context, "configFile">,
): Promise<number> {
  let name = "postern";
  try {
    const { configFile, rest } = takeConfigFile(words);
    const [first = "", ...others] = rest;
    if (first === "--version") {
      io.stdout.write(`postern ${program.version}\n`);
      return 0;
    }
    if (isHelp(first)) {
      io.stdout.write(`${helpFor(program, others)}\n`);
      return 0;
    }
    // `postern queue --help`: help for the group.
    if (isHelp(others[0]) && membersOf(program, first).length > 0) {
      io.stdout.write(`${helpFor(program, [first, ...others.slice(1)])}\n`);
      return 0;
    }
    if (first === "") {
      io.stderr.write(`${programHelp(program)}\n`);
      return 2;
    }
    const command = findCommand(program, rest);
    name = `postern ${command.name}`;
    const commandWords = rest.slice(command.name.split(" ").length);
    if (asksForHelp(commandWords)) {
      io.stdout.write(`${command.help}\n`);
      return 0;
    }
    return await command.run({ ...io, configFile }, commandWords);
  } catch (error) {
    if (error instanceof UsageError) {
      const seeAlso = `see '${name === "postern" ? "postern --help" : `${name} --help`}'`;
      for (const line of error.lines ?? [`${name} ${error.message}; ${seeAlso}`])
        io.stderr.write(`${line}\n`);
      return 2;
    }
    if (error instanceof CommandFailed) {
      io.stderr.write(`postern: ${error.message}\n`);
      return 1;
    }
    throw error;
  }
}

/** Extracts `-c FILE`, `-cFILE`, `--config FILE` or `--config=FILE` from anywhere before `--`. */
function takeConfigFile(words: readonly string[]): { configFile: string | undefined; rest: string[] } {
  const rest: string[] = [];
  const files: (string | undefined)[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      rest.push(...words.slice(index));
      break;
    }
    if (word === "-c" || word === "--config") files.push(words[++index]);
    else if (word.startsWith("--config=")) files.push(word.slice("--config=".length));
    else if (/^-c[^-]/.test(word)) files.push(word.slice(2));
    else rest.push(word);
  }
  if (files.length > 1) throw new UsageError("takes -c only once");
  const [configFile] = files;
  if (files.length === 1 && !configFile) throw new UsageError("needs a value for -c: FILE");
  return { configFile, rest };
}

function isHelp(word: string | undefined): boolean {
  return word === "--help" || word === "-h" || word === "help";
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? undefined : end).some((word) => word === "--help" || word === "-h");
}

/** The command with the longest name that is a prefix of the words. */
function findCommand(program: Program, words: readonly string[]): Command {
  const [first = "", second] = words;
  const byName = new Map(program.commands.map((command) => [command.name, command]));
  const found = byName.get(`${first} ${second}`) ?? byName.get(first);
  if (found !== undefined) return found;
  const group = membersOf(program, first).map((command) => command.name.slice(first.length + 1));
  if (group.length > 0) {
    throw new UsageError(
      second === undefined
        ? `${first} needs one of: ${group.join(", ")}`
        : `${first} has no '${second}', only: ${group.join(", ")}`,
    );
  }
  if (first.startsWith("-")) throw new UsageError(`has no option ${first}`);
  const near = closest(first, new Set(program.commands.map(({ name }) => name.split(" ")[0] ?? name)));
  throw new UsageError(`has no command '${first}'${near === undefined ? "" : `; did you mean ${near}?`}`);
}

function membersOf(program: Program, group: string): Command[] {
  return program.commands.filter((command) => command.name.startsWith(`${group} `));
}

function helpFor(program: Program, words: readonly string[]): string {
  const [first] = words;
  if (first === undefined) return programHelp(program);
  const members = words.length === 1 ? membersOf(program, first) : [];
  return members.length > 0 ? groupHelp(first, members) : findCommand(program, words).help;
}

function groupHelp(group: string, members: readonly Command[]): string {
  return [
    `usage: postern ${group} COMMAND [OPTIONS]`,
    "",
    ...columns(members.map(({ name, summary }) => [name, summary] as const)),
    "",
    `'postern ${group} COMMAND --help' shows how to use one of them.`,
  ].join("\n");
}

function programHelp(program: Program): string {
  return [
    "usage: postern [-c FILE] COMMAND [OPTIONS]",
    "",
    "A queue-backed transparent SMTP gateway.",
    "",
    ...columns(program.commands.map(({ name, summary }) => [name, summary] as const)),
    "",
    "  -c, --config FILE   the configuration; else $POSTERN_CONFIG, else ./postern.yaml",
    "  --version           the version",
    "  help COMMAND        how to use a command",
    "",
    "Exit status: 0, 1 (it failed), 2 (wrong use, or errors in the configuration).",
  ].join("\n");
}
