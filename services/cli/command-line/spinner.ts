/** Shows on a terminal that something is under way, on standard error; elsewhere nothing. */
import type { Context } from "./command.ts";

/** @param text  what is under way: "asking about ann@example.com" */
export async function withSpinner<T>(
  { stderr }: Pick<Context, "stderr">,
  text: string,
  action: () => Promise<T>,
): Promise<T> {
  if (stderr.isTTY !== true) return action();
  const { default: ora } = await import("ora");
  // Input stays the terminal's own, so that Ctrl-C works as ever.
  const spinner = ora({ text, stream: process.stderr, discardStdin: false }).start();
  try {
    return await action();
  } finally {
    spinner.stop();
  }
}
