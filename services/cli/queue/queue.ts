/** `postern queue …`: shows and changes messages through the admin API. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { type Command, type Context, defineCommand, UsageError } from "../command-line/args.ts";
import { changeMessages, listRows, messagesOf, type Report, type Row, showMessage } from "./queue-api.ts";
import {
  filterOptions,
  manyIds,
  readFilter,
  readSelection,
  readUntil,
  selectionBody,
  selectionUsage,
} from "./queue-selection.ts";
import { print, printUnknown, renderDetail, renderList, renderReport } from "./queue-view.ts";

const json = { type: "boolean", help: "print JSON" } as const;
/** For a pipe or a file. */
const widthWithoutTerminal = 200;

const list = defineCommand({
  name: "queue list",
  summary: "List messages that wait, are active, deferred, held or dead",
  usage: "[FILTERS] [--limit N] [--json]",
  options: {
    ...filterOptions,
    limit: { type: "string", value: "N", help: "at most N rows" },
    json: { type: "boolean", help: "print one JSON array of all matching rows" },
  },
  async run(context, values) {
    const filter = readFilter(values);
    const limit = values.limit === undefined ? undefined : Number(values.limit);
    if (limit !== undefined && !(Number.isSafeInteger(limit) && limit > 0)) {
      throw new UsageError(`needs a number of rows for --limit, not '${values.limit}'`);
    }
    const client = await connectToAdmin(context);
    const pages = listRows(client, filter, limit);
    if (values.json) await printJsonArray(context, pages);
    else {
      const rows: Row[] = [];
      for await (const page of pages) for (const row of page) rows.push(row);
      print(context, renderList(rows, Date.now(), context.stdout.columns ?? widthWithoutTerminal));
    }
    return 0;
  },
});

const show = defineCommand({
  name: "queue show",
  summary: "Show everything about messages except their bodies",
  usage: `${selectionUsage} [--json]`,
  options: {
    ...filterOptions,
    json: { type: "boolean", help: "print JSON: an object, or an array for several" },
  },
  positionals: manyIds,
  async run(context, values, words) {
    const selection = readSelection(values, words);
    const client = await connectToAdmin(context);
    const { ids, unknown } = await messagesOf(client, selection);
    const shown = [];
    for (const id of ids) {
      const detail = await showMessage(client, id);
      if (detail === undefined) unknown.push(id);
      else shown.push(detail);
    }
    if (values.json) {
      const one = selection.kind === "ids" && selection.ids.length === 1 && shown.length === 1;
      if (shown.length > 0 || selection.kind !== "ids") {
        context.stdout.write(`${JSON.stringify(one ? shown[0] : shown, null, 2)}\n`);
      }
    } else {
      shown.forEach((detail, index) => {
        print(context, [...(index > 0 ? [""] : []), ...renderDetail(detail, Date.now())]);
      });
      if (shown.length === 0 && unknown.length === 0) print(context, ["no message matches"]);
    }
    return printUnknown(context, unknown);
  },
});

const retry = changeCommand("retry", "Make deferred messages due now; held ones stay held", "retrying");
const release = changeCommand("release", "End a hold; its messages are due now", "released");
const requeue = changeCommand("put-back", "Requeue dead messages, with the schedule of new ones", "requeued");

const hold = defineCommand({
  name: "queue hold",
  summary: "Make no attempt until released; one sender, one domain or all: also for later messages",
  usage: `${selectionUsage} [--reason TEXT] [--until TIME|DURATION] [--json]`,
  options: {
    ...filterOptions,
    reason: { type: "string", value: "TEXT", help: "why; shown to people" },
    until: { type: "string", value: "WHEN", help: "the hold ends by itself: 2h, or 2030-01-31T12:00:00Z" },
    json,
  },
  positionals: manyIds,
  async run(context, values, words) {
    const selection = readSelection(values, words);
    const body = {
      ...selectionBody(selection),
      ...(values.reason === undefined ? {} : { reason: values.reason }),
      ...(values.until === undefined ? {} : { until: readUntil(values.until, Date.now()) }),
    };
    const client = await connectToAdmin(context);
    return printReport(context, "held", await changeMessages(client, "hold", body), values.json);
  },
});

const remove = defineCommand({
  name: "queue remove",
  summary: "Remove messages for good",
  usage: `${selectionUsage} [--notify] [--json]`,
  options: {
    ...filterOptions,
    notify: { type: "boolean", help: "send their senders a delivery status notification" },
    json,
  },
  positionals: manyIds,
  async run(context, values, words) {
    const selection = readSelection(values, words);
    const client = await connectToAdmin(context);
    const body = { ...selectionBody(selection), notify: values.notify };
    return printReport(context, "removed", await changeMessages(client, "remove", body), values.json);
  },
});

/** All commands of the group but export, which is in queue-export.ts. */
export const queueCommands: readonly Command[] = [list, show, retry, hold, release, remove, requeue];

function changeCommand(action: string, summary: string, done: string): Command {
  return defineCommand({
    name: `queue ${action}`,
    summary,
    usage: `${selectionUsage} [--json]`,
    options: { ...filterOptions, json },
    positionals: manyIds,
    async run(context, values, words) {
      const selection = readSelection(values, words);
      const client = await connectToAdmin(context);
      return printReport(
        context,
        done,
        await changeMessages(client, action, selectionBody(selection)),
        values.json,
      );
    },
  });
}

function printReport(context: Context, done: string, report: Report, asJson: boolean): number {
  if (asJson) context.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else if (report.matched > 0 || report.unknown.length === 0) print(context, renderReport(done, report));
  return printUnknown(context, report.unknown);
}

/** Prints one array row by row, so that any number of rows needs little memory. */
async function printJsonArray({ stdout }: Context, pages: AsyncIterable<Row[]>): Promise<void> {
  let before = "[";
  for await (const rows of pages) {
    for (const row of rows) {
      stdout.write(`${before}\n${JSON.stringify(row)}`);
      before = ",";
    }
  }
  stdout.write(before === "[" ? "[]\n" : "\n]\n");
}
