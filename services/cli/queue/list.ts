/** `postern queue list`: a table of messages, or a JSON array. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { type Context, defineCommand, UsageError } from "../command-line/command.ts";
import { listRows, type Row } from "./queue-api.ts";
import { filterOptions, readFilter } from "./queue-selection.ts";
import { print, renderList } from "./queue-view.ts";

/** For a pipe or a file. */
const widthWithoutTerminal = 200;

export const command = defineCommand({
  usage: "[FILTERS] [--limit N] [--json]",
  options: {
    ...filterOptions,
    limit: { type: "string", value: "N", help: "at most N rows" },
    json: { type: "boolean", help: "print one JSON array of all matching rows" },
  },
  usesAdmin: true,
  examples: [
    ["mail to one domain", "queue list --to '*@example.com'"],
    [
      "mail that has waited for two hours, with a part of the last reason",
      "queue list --older 2h --error 'mailbox full'",
    ],
    ["queue ids only", "queue list --status deferred --json | jq -r '.[].id'"],
  ],
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
