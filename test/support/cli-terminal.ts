/** The command line in this process, at a terminal or without one: what is typed, what is printed. */
import { PassThrough } from "node:stream";
import { commands } from "../../services/cli/commands.ts";
import { dispatch } from "../../services/cli/dispatch.ts";

export interface Ended {
  status: number;
  out: string;
  err: string;
}

/** @param typed  a line that a person types at a terminal; absent: there is none */
export async function runCommand(
  configFile: string,
  words: readonly string[],
  typed?: string,
): Promise<Ended> {
  const ended = { status: 0, out: "", err: "" };
  const stdin = Object.assign(new PassThrough(), typed === undefined ? {} : { isTTY: true });
  if (typed !== undefined) stdin.write(`${typed}\n`);
  ended.status = await dispatch({ commands, version: "0" }, ["-c", configFile, ...words], {
    stdin: stdin as unknown as NodeJS.ReadStream,
    stdout: { columns: 80, write: (text) => (ended.out += text) },
    stderr: { write: (text) => (ended.err += text) },
  });
  return ended;
}
