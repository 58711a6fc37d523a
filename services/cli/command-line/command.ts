/** What a command is: its options, its examples, what it does, and the errors that end it. */

export interface Context {
  /** From `-c`, before or after the command; `undefined` when it was not given. */
  configFile: string | undefined;
  /** From `--url` and `--token`, of commands that ask the admin. */
  admin: { url: string | undefined; token: string | undefined };
  stdin: NodeJS.ReadStream;
  stdout: Output;
  stderr: Output;
}

export interface Output {
  write(text: string): unknown;
  /** The width, when it is a terminal. */
  columns?: number | undefined;
  /** The height, when it is a terminal. */
  rows?: number | undefined;
  isTTY?: boolean | undefined;
  /** Whether it is a terminal with colours; NO_COLOR is respected. */
  hasColors?(): boolean;
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

/** A line of the list of commands. What the command does is loaded when it is needed. */
export interface CommandEntry {
  /** One word or two: `explain`, `config check`. */
  name: string;
  /** For the list of commands and the top of its help. */
  summary: string;
  load(): Promise<{ command: Command }>;
}

/** The list of commands under its headings, as `postern --help` prints it. */
export type CommandList = Record<string, readonly CommandEntry[]>;

export interface Option {
  type: "string" | "boolean";
  /** One letter. */
  short?: string;
  /** May be given several times. */
  multiple?: boolean;
  required?: boolean;
  /** Neither in the help nor completed: one process of Postern gives it to another. */
  hidden?: boolean;
  /** The placeholder for the value in the help: `PATTERN`. `FILE` and `DIRECTORY` are completed as such. */
  value?: string;
  /** The only values that it takes; any others are wrong use. Completed by shells. */
  choices?: readonly string[];
  help: string;
}

export type Options = Record<string, Option>;

export type Values<O extends Options> = {
  [K in keyof O]: O[K] extends { multiple: true }
    ? string[]
    : O[K] extends { type: "boolean" }
      ? boolean
      : O[K] extends { required: true }
        ? string
        : string | undefined;
};

/** `[what it is for, words after "postern"]` */
export type Example = readonly [purpose: string, words: string];

export interface CommandDefinition<O extends Options> {
  /** The words after the name: `--client IP [--json]`. */
  usage: string;
  /** Paragraphs below the summary in the help, for what the options do not say. */
  details?: string;
  options: O;
  /** The number of words that are no options; none when absent. */
  positionals?: { min: number; max: number; choices?: readonly string[] };
  /** Asks the admin: takes `--url` and `--token`. */
  usesAdmin?: boolean;
  examples: readonly [Example, ...Example[]];
  /**
   * @returns the exit status
   * @throws UsageError, CommandFailed
   */
  run(context: Context, values: Values<O>, positionals: string[]): Promise<number>;
}

export type Command = CommandDefinition<Options>;

/** Gives `run` the types of the options. The file of a command exports the result as `command`. */
export function defineCommand<const O extends Options>(definition: CommandDefinition<O>): Command {
  return definition as unknown as Command;
}
