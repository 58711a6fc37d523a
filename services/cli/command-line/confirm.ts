/** Asks a person at a terminal whether to go on; elsewhere nobody is asked. */
import { createInterface } from "node:readline";
import type { Context } from "./command.ts";
import { unlessInterrupted } from "./interrupt.ts";

/** Whether a person can be asked. */
export function canAsk({ stdin }: Pick<Context, "stdin">): boolean {
  return stdin.isTTY === true;
}

/** @returns whether the answer was yes; Ctrl-C and Ctrl-D are no */
export async function confirm(
  { stdin, stderr }: Pick<Context, "stdin" | "stderr">,
  question: string,
): Promise<boolean> {
  stderr.write(`${question} [y/N] `);
  // Without an output, so that the terminal itself edits and echoes the line.
  const lines = createInterface({ input: stdin });
  const ended = new Promise<string>((resolve) => {
    lines.once("line", resolve);
    lines.once("close", () => resolve(""));
  });
  try {
    const answer = await unlessInterrupted(ended);
    return answer !== undefined && /^\s*y(es)?\s*$/i.test(answer.value);
  } finally {
    lines.close();
  }
}
