/** What the commands that change messages share: they count, ask, run a task, and report what came of it. */
import type { AdminClient } from "../admin-api/admin-client.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { type Command, type Context, defineCommand, type Example } from "../command-line/command.ts";
import { canAsk, confirm } from "../command-line/confirm.ts";
import { runTask } from "./change-task.ts";
import { countChange, type Report } from "./queue-api.ts";
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

/** An action of the admin API, and the words for it. */
export interface ChangeWords {
  action: string;
  /** Begins a question: "Remove" 3 messages? */
  verb: string;
  /** Begins the report: "removed" 3 of 4. */
  done: string;
}

export const changeOptions = {
  reason: { type: "string", value: "TEXT", help: "why; for the log, and the timeline of each message" },
  "dry-run": { type: "boolean", help: "only count what would be changed" },
  yes: { type: "boolean", short: "y", help: "do not ask, on a terminal either" },
  json: jsonOption,
} as const;

export const changeUsage = "[--reason TEXT] [--dry-run] [--yes] [--json]";

export interface ChangeValues {
  reason: string | undefined;
  "dry-run": boolean;
  yes: boolean;
  json: boolean;
}

/** A change that takes a selection and nothing else. */
export function changeCommand(
  words: ChangeWords,
  examples: readonly [Example, ...Example[]],
  after?: (context: Context, report: Report) => void,
): Command {
  return defineCommand({
    usage: `${selectionUsage} ${changeUsage}`,
    options: { ...filterOptions, ...changeOptions },
    positionals: manyIds,
    usesAdmin: true,
    examples,
    async run(context, values, ids) {
      const selection = readSelection(values, ids);
      const client = await connectToAdmin(context);
      const report = await change(context, client, words, selection, {}, values);
      if (report === undefined) return 1;
      const status = printReport(context, words, selection, report, values);
      if (!values.json) after?.(context, report);
      return status;
    },
  });
}

/**
 * Counts; asks where a person can be asked and more than one named message is concerned, or any is to be removed; then
 * runs the change as a task.
 * @param terms  further fields of the request
 * @returns `undefined` when nothing was changed because nobody agreed, or the task goes on by itself
 */
export async function change(
  context: Context,
  client: AdminClient,
  words: ChangeWords,
  selection: Selection,
  terms: Record<string, unknown>,
  { reason, yes, "dry-run": dryRun }: ChangeValues,
): Promise<Report | undefined> {
  const given = reason === undefined ? {} : { reason };
  const body = { ...selectionBody(selection), ...terms, ...given };
  const isBulk = selection.kind !== "ids" || selection.ids.length > 1 || words.action === "remove";
  const mustAsk = isBulk && !yes && canAsk(context);
  if (dryRun || mustAsk) {
    const counted = await countChange(client, words.action, body);
    if (dryRun || (counted.changed === 0 && !counted.rule)) return counted;
    const question = questionOf(words, counted);
    if (!(await confirm(context, question))) {
      context.stderr.write("nothing was changed\n");
      return undefined;
    }
  }
  return runTask(context, client, words, body);
}

function questionOf({ verb }: ChangeWords, { changed, matched, rule }: Report): string {
  const of = matched === changed ? "" : ` of ${matched} that match`;
  const later = rule ? `, and those that come later by the rule ${rule}` : "";
  return `${verb} ${changed} ${changed === 1 && of === "" ? "message" : "messages"}${of}${later}?`;
}

/** @returns the exit status */
export function printReport(
  context: Context,
  { action, verb, done }: ChangeWords,
  selection: Selection,
  report: Report,
  values: ChangeValues,
): number {
  const begins = values["dry-run"] ? `would ${verb.toLowerCase()}` : done;
  if (values.json) context.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else if (report.matched > 0 || report.unknown.length === 0)
    print(context, renderReport(begins, report, action));
  const status = printUnknown(context, report.unknown);
  // A rule holds mail that comes later, also where there is none yet.
  const didNothing = report.matched === 0 && !report.rule;
  return didNothing && selection.kind !== "all" ? 1 : status;
}
