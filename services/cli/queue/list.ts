/** `postern queue list`: a table of messages, or a JSON array. Rows are printed as they come, whatever their number. */
import { compareKeys, type RowSort, rowKey, rowSorts } from "../../../shared/queue/operator/row-order.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { type Context, defineCommand, UsageError } from "../command-line/command.ts";
import { startTable } from "../command-line/table.ts";
import { countMessages, listRows, type Row, rowsPerPage } from "./queue-api.ts";
import { filterOptions, readFilter } from "./queue-selection.ts";
import { countLine, listColumns, print } from "./queue-view.ts";

/** For a pipe or a file. */
const widthWithoutTerminal = 200;

export const command = defineCommand({
  usage: "[FILTERS] [--search TEXT] [--sort ORDER] [--limit N] [--json]",
  details: "Exit status 1 when filters are given and nothing matches.",
  options: {
    ...filterOptions,
    sort: {
      type: "string",
      value: "ORDER",
      choices: rowSorts,
      help: `${rowSorts.join(", ")}; without it, as workers will take them`,
    },
    limit: { type: "string", value: "N", help: "at most N rows" },
    json: { type: "boolean", help: "print one JSON array of all matching rows" },
  },
  usesAdmin: true,
  examples: [
    ["mail to one domain", "queue list --to '*@example.com'"],
    ["the twenty oldest", "queue list --sort oldest --limit 20"],
    ["anything about a person or a server", "queue list --search mailbox.example"],
    [
      "mail that has waited for two hours, by the last reason",
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
    const sort = values.sort as RowSort | undefined;
    const few = limit !== undefined && limit <= rowsPerPage;
    const pages =
      sort === undefined || few
        ? listRows(client, filter, limit, sort)
        : sorted(listRows(client, filter), sort, limit);
    const shown = await (values.json ? printJson(context, pages) : printTable(context, pages));
    const isFiltered = Object.keys(filter).length > 0;
    if (!values.json) {
      const isCut = limit !== undefined && total(shown) === limit;
      print(context, summary(shown, isFiltered, isCut ? limit : undefined, await countMessages(client)));
    }
    return total(shown) === 0 && isFiltered ? 1 : 0;
  },
});

/** All rows at once: the admin would need a pass over the queues for each page. */
async function* sorted(pages: AsyncIterable<Row[]>, sort: RowSort, limit?: number): AsyncGenerator<Row[]> {
  const rows: { key: number; id: string; row: Row }[] = [];
  for await (const page of pages)
    for (const row of page) rows.push({ key: rowKey(sort, row), id: row.id, row });
  yield rows
    .sort(compareKeys)
    .slice(0, limit)
    .map(({ row }) => row);
}

/** Rows by status. */
type Shown = Map<string, number>;

async function printTable(context: Context, pages: AsyncIterable<Row[]>): Promise<Shown> {
  const { stdout } = context;
  const shown: Shown = new Map();
  let table: ReturnType<typeof startTable<Row>> | undefined;
  for await (const rows of pages) {
    if (rows.length === 0) continue;
    count(shown, rows);
    if (table !== undefined) print(context, table.more(rows));
    else {
      table = startTable(listColumns(stdout, Date.now()), rows, stdout.columns ?? widthWithoutTerminal);
      print(context, table.lines);
    }
  }
  return shown;
}

/** One array, row by row. */
async function printJson({ stdout }: Context, pages: AsyncIterable<Row[]>): Promise<Shown> {
  const shown: Shown = new Map();
  let before = "[";
  for await (const rows of pages) {
    count(shown, rows);
    for (const row of rows) {
      stdout.write(`${before}\n${JSON.stringify(row)}`);
      before = ",";
    }
  }
  stdout.write(before === "[" ? "[]\n" : "\n]\n");
  return shown;
}

function count(shown: Shown, rows: readonly Row[]): void {
  for (const { status } of rows) shown.set(status, (shown.get(status) ?? 0) + 1);
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, each) => sum + each, 0);
}

/** What the list shows, and what all the queues have. @param limit  that cut the list short */
function summary(
  shown: Shown,
  isFiltered: boolean,
  limit: number | undefined,
  all: ReadonlyMap<string, number>,
): string[] {
  if (total(shown) === 0)
    return isFiltered ? [`no message matches; in the queues: ${countLine(all)}`] : ["no messages"];
  if (limit !== undefined) return ["", `the first ${limit}; in the queues: ${countLine(all)}`];
  if (isFiltered) return ["", `matching: ${countLine(shown)}; in the queues: ${countLine(all)}`];
  return ["", countLine(shown)];
}
