/** `postern queue list`: a table of messages, or a JSON array. Rows are printed as they come, whatever their number. */
import { compareKeys, type RowSort, rowKey, rowSorts } from "../../../shared/queue/operator/row-order.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { type Context, defineCommand, UsageError } from "../command-line/command.ts";
import { formatCount } from "../command-line/wrap.ts";
import { countMessages, listRows, type Row, type RowPage, rowsPerPage } from "./queue-api.ts";
import { filterOptions, readFilter } from "./queue-selection.ts";
import { countLine, print, startList } from "./queue-view.ts";

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
    const shown = await (values.json
      ? printJson(context, pages)
      : printTable(context, pages, filter.to ?? filter.search));
    const isFiltered = Object.keys(filter).length > 0;
    if (!values.json) print(context, summary(shown, { isFiltered, limit }, await countMessages(client)));
    return shown.count === 0 && isFiltered ? 1 : 0;
  },
});

/** All rows at once: the admin would need a pass over the queues for each page. */
async function* sorted(
  pages: AsyncIterable<RowPage>,
  sort: RowSort,
  limit?: number,
): AsyncGenerator<RowPage> {
  const all: { key: number; id: string; row: Row }[] = [];
  let totals: RowPage["totals"] = null;
  for await (const page of pages) {
    totals ??= page.totals;
    for (const row of page.rows) all.push({ key: rowKey(sort, row), id: row.id, row });
  }
  const rows = all
    .sort(compareKeys)
    .slice(0, limit)
    .map(({ row }) => row);
  yield { rows, totals };
}

interface Shown {
  count: number;
  byStatus: Map<string, number>;
  /** Of all that match, as the first page said. */
  totals: RowPage["totals"];
}

async function printTable(
  context: Context,
  pages: AsyncIterable<RowPage>,
  sought: string | undefined,
): Promise<Shown> {
  const { stdout } = context;
  const shown = nothingShown();
  const listed = startList(stdout, Date.now(), sought);
  for await (const page of pages) {
    const { rows } = page;
    if (rows.length === 0) continue;
    addPage(shown, page);
    print(context, listed(rows));
  }
  return shown;
}

/** One array, row by row. */
async function printJson({ stdout }: Context, pages: AsyncIterable<RowPage>): Promise<Shown> {
  const shown = nothingShown();
  let before = "[";
  for await (const page of pages) {
    addPage(shown, page);
    for (const row of page.rows) {
      stdout.write(`${before}\n${JSON.stringify(row)}`);
      before = ",";
    }
  }
  stdout.write(before === "[" ? "[]\n" : "\n]\n");
  return shown;
}

function nothingShown(): Shown {
  return { count: 0, byStatus: new Map(), totals: null };
}

function addPage(shown: Shown, { rows, totals }: RowPage): void {
  shown.totals ??= totals;
  shown.count += rows.length;
  for (const { status } of rows) shown.byStatus.set(status, (shown.byStatus.get(status) ?? 0) + 1);
}

/** How many match, of which the list may show the first ones, and what all the queues have. */
function summary(
  { count, byStatus, totals }: Shown,
  { isFiltered, limit }: { isFiltered: boolean; limit: number | undefined },
  all: ReadonlyMap<string, number>,
): string[] {
  const inQueues = `in the queues: ${countLine(all)}`;
  if (count === 0) return isFiltered ? [`no message matches; ${inQueues}`] : ["no messages"];
  const isCut = count === limit && (totals === null || totals.matched > count);
  if (!isCut) return ["", isFiltered ? `matching: ${countLine(byStatus)}; ${inQueues}` : countLine(byStatus)];
  if (!isFiltered) return ["", `the first ${count}; ${inQueues}`];
  // The first reading of long queues is under way, or they are too long for the admin's memory.
  if (totals === null)
    return ["", `the first ${count}; matching: at least ${formatCount(count, "message")}; ${inQueues}`];
  const matching = new Map(Object.entries(totals.statuses).filter(([, each]) => each > 0));
  return ["", `the first ${count}; matching: ${countLine(matching)}; ${inQueues}`];
}
