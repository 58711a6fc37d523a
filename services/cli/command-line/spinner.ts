/** Shows on a terminal that something is under way, on standard error; elsewhere nothing. */
import type { Context } from "./command.ts";
import { printable, truncate } from "./table.ts";

/** @param text  what is under way: "asking about ann@example.com" */
export function withSpinner<T>(
  context: Pick<Context, "stderr">,
  text: string,
  action: () => Promise<T>,
): Promise<T> {
  return withProgress(context, text, action);
}

/** @param action  gets a function that shows another text */
export async function withProgress<T>(
  { stderr }: Pick<Context, "stderr">,
  text: string,
  action: (show: (text: string) => void) => Promise<T>,
): Promise<T> {
  if (stderr.isTTY !== true) return action(() => {});
  const { default: ora } = await import("ora");
  /** In one line, beside the spinner. */
  const fit = (shown: string): string => truncate(printable(shown), (stderr.columns ?? 80) - 3);
  // Input stays the terminal's own, so that Ctrl-C works as ever. Lines printed meanwhile stand above the spinner.
  const spinner = ora({ text: fit(text), stream: process.stderr, discardStdin: false }).start();
  try {
    return await action((shown) => {
      spinner.text = fit(shown);
    });
  } finally {
    spinner.stop();
  }
}
