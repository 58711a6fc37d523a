/** What the commands that change messages share: their options, and their report. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { type Command, type Context, defineCommand, type Example } from "../command-line/command.ts";
import { changeMessages, type Report } from "./queue-api.ts";
import {
  filterOptions,
  jsonOption,
  manyIds,
  readSelection,
  type Selection,
  selectionBody,
  selectionUsage,
} from "./queue-selection.ts";
import { print, printUnknown, renderReport } from "./queue-view.ts";

/**
 * A change that takes a selection and nothing else.
 * @param action  of the admin API
 * @param done    begins the report: "retrying" 3 of 4
 */
export function changeCommand(
  action: string,
  done: string,
  examples: readonly [Example, ...Example[]],
): Command {
  return defineCommand({
    usage: `${selectionUsage} [--json]`,
    options: { ...filterOptions, json: jsonOption },
    positionals: manyIds,
    usesAdmin: true,
    examples,
    async run(context, values, words) {
      const selection = readSelection(values, words);
      const client = await connectToAdmin(context);
      const report = await changeMessages(client, action, selectionBody(selection));
      return printReport(context, done, selection, report, values.json);
    },
  });
}

/** @returns the exit status */
export function printReport(
  context: Context,
  done: string,
  selection: Selection,
  report: Report,
  asJson: boolean,
): number {
  if (asJson) context.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else if (report.matched > 0 || report.unknown.length === 0) print(context, renderReport(done, report));
  const status = printUnknown(context, report.unknown);
  // A rule holds mail that comes later, also where there is none yet.
  const didNothing = report.matched === 0 && !report.rule;
  return didNothing && selection.kind !== "all" ? 1 : status;
}
