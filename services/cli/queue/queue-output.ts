/** How the queue commands print. */
import type { Context } from "../command-line/args.ts";
import { printable } from "../command-line/table.ts";

export function print({ stdout }: Context, lines: readonly string[]): void {
  if (lines.length > 0) stdout.write(`${lines.join("\n")}\n`);
}

/** One line for each id that nothing has. @returns the exit status */
export function sayUnknown({ stderr }: Context, unknown: readonly string[]): number {
  for (const id of unknown) stderr.write(`postern: no message has the id ${printable(id)}\n`);
  return unknown.length > 0 ? 1 : 0;
}
