/** Reads a password: from a terminal without echo, or one line of standard input. Never from the command line. */
import { createInterface } from "node:readline";
import { unreachable } from "../../../shared/unreachable.ts";
import { CommandFailed, type Output } from "../command-line/command.ts";

/** @throws CommandFailed where none is given, or the two do not agree */
export async function readPassword(stdin: NodeJS.ReadStream, prompt: Output): Promise<string> {
  const password = stdin.isTTY ? await askTwice(stdin, prompt) : await firstLine(stdin);
  if (password === "") throw new CommandFailed("the password is empty");
  // RFC 4616 §2: NUL separates the parts of AUTH PLAIN. Its passwords have up to 255 octets.
  if (password.includes("\0")) throw new CommandFailed("a password cannot have a NUL in it");
  if (Buffer.byteLength(password) > 255) throw new CommandFailed("a password has at most 255 octets");
  return password;
}

async function firstLine(stdin: NodeJS.ReadStream): Promise<string> {
  const lines = createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) return line;
  throw new CommandFailed("needs the password on standard input: one line");
}

/** What was typed so far, in a terminal's raw mode, where erasing and interrupting are left to us. */
export type Typed =
  | { kind: "line"; line: string; rest: string }
  | { kind: "interrupted" }
  /** The end of the line has not come. */
  | { kind: "open" };

const ctrlC = "\u0003";
const ctrlD = "\u0004";
const ctrlU = "\u0015";
const backspaces = ["\u007f", "\b"];

/** Pure. */
export function readTyped(text: string): Typed {
  let line: string[] = [];
  const characters = [...text];
  for (const [index, character] of characters.entries()) {
    if (character === "\r" || character === "\n" || character === ctrlD)
      return { kind: "line", line: line.join(""), rest: characters.slice(index + 1).join("") };
    if (character === ctrlC) return { kind: "interrupted" };
    if (backspaces.includes(character)) line.pop();
    else if (character === ctrlU) line = [];
    else if (character >= " ") line.push(character);
  }
  return { kind: "open" };
}

/** In raw mode the terminal echoes nothing. */
async function askTwice(terminal: NodeJS.ReadStream, prompt: Output): Promise<string> {
  terminal.setRawMode(true);
  terminal.setEncoding("utf8");
  try {
    const first = await ask(terminal, prompt, "Password: ", "");
    const second = await ask(terminal, prompt, "Once more: ", first.rest);
    if (second.line !== first.line) throw new CommandFailed("the two passwords are not the same");
    return first.line;
  } finally {
    terminal.setRawMode(false);
    terminal.pause();
  }
}

/** @param typed  ahead of the question */
async function ask(
  terminal: NodeJS.ReadStream,
  prompt: Output,
  question: string,
  typed: string,
): Promise<Typed & { kind: "line" }> {
  prompt.write(question);
  let text = typed;
  for (;;) {
    const read = readTyped(text);
    switch (read.kind) {
      case "line":
        prompt.write("\n");
        return read;
      case "interrupted":
        prompt.write("\n");
        throw new CommandFailed("interrupted");
      case "open":
        text += await nextInput(terminal);
        break;
      default:
        unreachable(read);
    }
  }
}

function nextInput(terminal: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const settle = (text: string | undefined): void => {
      terminal.off("data", settle).off("end", ended);
      if (text === undefined) reject(new CommandFailed("the terminal is gone"));
      else resolve(text);
    };
    const ended = (): void => settle(undefined);
    terminal.once("data", settle).once("end", ended);
  });
}
