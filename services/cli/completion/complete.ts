/** `postern complete -- WORDS`, which shells ask: what may stand at the end of a command line. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { type Command as Completed, RootCommand } from "@bomb.sh/tab";
import type { Command, CommandEntry, CommandList, Option } from "../command-line/command.ts";
import { adminOptions, configOption } from "../command-line/options.ts";
import { printed } from "./completion.ts";

/**
 * @param words  after `postern`; the last is the one to complete, `""` for a new one
 * @returns lines `VALUE<tab>DESCRIPTION`, then `:` and the directive of the script
 */
export async function complete(commands: CommandList, words: readonly string[]): Promise<string> {
  const entries = Object.values(commands).flat();
  const entry = named(entries, words);
  const command = entry === undefined ? undefined : (await entry.load()).command;
  const options = { config: configOption, ...command?.options, ...(command?.usesAdmin ? adminOptions : {}) };
  const files = fileNames(options, words);
  if (files !== undefined) return files;
  const root = new RootCommand();
  root.option("config", configOption.help, () => {}, "c").option("version", "the version");
  for (const group of groupsOf(entries)) root.command(group, `postern ${group} …`);
  for (const { name, summary } of entries)
    declare(root.command(name, summary), name === entry?.name ? command : undefined, options);
  return printed(() => root.parse([...words]));
}

/** The command that the words name, with or without options before its name. */
function named(entries: readonly CommandEntry[], words: readonly string[]): CommandEntry | undefined {
  const plain = words
    .slice(0, -1)
    .filter((word, index, all) => !word.startsWith("-") && !isConfigFlag(all[index - 1]));
  const [first = "", second = ""] = plain;
  return (
    entries.find(({ name }) => name === `${first} ${second}`) ?? entries.find(({ name }) => name === first)
  );
}

function isConfigFlag(word: string | undefined): boolean {
  return word === "-c" || word === "--config";
}

function groupsOf(entries: readonly CommandEntry[]): Set<string> {
  return new Set(entries.flatMap(({ name }) => name.match(/^(\S+) /)?.[1] ?? []));
}

function declare(completed: Completed, command: Command | undefined, options: Record<string, Option>): void {
  completed.option("help", "this help", "h");
  if (command === undefined) return;
  for (const [name, { type, help, short, choices = [], hidden }] of Object.entries(options)) {
    if (hidden) continue;
    if (type === "boolean") completed.option(name, help, short ?? "");
    else completed.option(name, help, adding(choices), short);
  }
  const { choices, max } = command.positionals ?? { max: 0 };
  if (choices !== undefined) completed.argument("word", adding(choices), max > 1);
}

function adding(values: readonly string[]) {
  return (add: (value: string, description: string) => void): void => {
    for (const value of values) add(value, "");
  };
}

const noSpace = 2;
const noFiles = 4;

/** Files in place of values, after an option that takes one. @returns `undefined` after anything else */
function fileNames(options: Record<string, Option>, words: readonly string[]): string | undefined {
  const before = words.at(-2) ?? "";
  const option = Object.entries(options).find(
    ([name, { short }]) => before === `--${name}` || (short !== undefined && before === `-${short}`),
  )?.[1];
  if (option === undefined || !/FILE|DIRECTORY/.test(option.value ?? "")) return undefined;
  const start = words.at(-1) ?? "";
  const directory = start.slice(0, start.lastIndexOf("/") + 1);
  const names = entriesOf(directory).filter(
    (name) => name.startsWith(start) && (start.endsWith(".") || !path.basename(name).startsWith(".")),
  );
  const directive = names.length === 1 && names[0]?.endsWith("/") ? noSpace | noFiles : noFiles;
  return [...names.map((name) => `${name}\t`), `:${directive}`, ""].join("\n");
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory || ".", { withFileTypes: true }).map(
      (entry) => `${directory}${entry.name}${entry.isDirectory() ? "/" : ""}`,
    );
  } catch {
    return [];
  }
}
