/** `postern queue summary`: all queued mail in groups, with a column for each age. */
import { z } from "zod";
import { age } from "../../../shared/age.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { type Context, defineCommand, UsageError } from "../command-line/command.ts";
import { type Column, renderTable } from "../command-line/table.ts";
import { filterOptions, readFilter } from "../queue/queue-selection.ts";
import { replyWords } from "./status-view.ts";

const groupings = ["destination", "reason", "sender", "route"];
/** Names of columns that have room: minutes, without the unit. */
const ageTitles: Record<string, string> = { older: "older" };

export const summaryRow = z.looseObject({
  key: z.string(),
  messages: z.number(),
  oldestAt: z.string(),
  ages: z.record(z.string(), z.number()),
  sample: z.string(),
  reason: z
    .object({
      code: z.number().nullable(),
      status: z.string().nullable(),
      text: z.string(),
      firstAt: z.string().nullable(),
      lastAt: z.string().nullable(),
      destinations: z.number(),
    })
    .optional(),
});
type Row = z.infer<typeof summaryRow>;

export const summaryTotal = z.object({
  messages: z.number(),
  oldestAt: z.string().nullable(),
  ages: z.record(z.string(), z.number()),
});

const answerSchema = z.object({
  asOf: z.string().nullable(),
  indexed: z.number(),
  notIndexed: z.number(),
  groups: z.number(),
  total: summaryTotal,
  rows: z.array(summaryRow),
});
type Answer = z.infer<typeof answerSchema>;

export const command = defineCommand({
  usage: "[--by destination|reason|sender|route] [FILTERS] [--limit N] [--json]",
  details:
    "The columns count messages by their age in minutes. Reasons are equal when they differ in ids, addresses, numbers and hosts only. A message with recipients in two domains, or with two reasons, counts in both groups, once in the total.",
  options: {
    by: { type: "string", value: "WHAT", choices: groupings, help: "destination when absent" },
    ...filterOptions,
    limit: { type: "string", value: "N", help: "the N largest groups; 20 when absent, with --json 10000" },
    json: { type: "boolean", help: "print an array of { key, messages, oldestAt, ages, sample }" },
  },
  usesAdmin: true,
  examples: [
    ["where mail waits", "queue summary"],
    ["why it waits", "queue summary --by reason"],
    ["why mail to one domain waits", "queue summary --by reason --to '*@example.com'"],
    ["who has mail that has waited for a day", "queue summary --by sender --older 1d"],
  ],
  async run(context, values) {
    const { by = "destination", json } = values;
    const filter = readFilter(values);
    const limit = values.limit ?? (json ? "10000" : "20");
    if (!/^[1-9]\d{0,4}$/.test(limit) || Number(limit) > 10_000) {
      throw new UsageError(`needs a number of groups up to 10000 for --limit, not '${limit}'`);
    }
    const client = await connectToAdmin(context);
    const query = { by, limit, ...(filter as Record<string, string>) };
    const answer = answerSchema.parse(await client.get("/api/v1/queues/summary", query));
    const { stdout } = context;
    if (json) stdout.write(`${JSON.stringify(answer.rows, null, 2)}\n`);
    else stdout.write(`${renderSummary(answer, by, Date.now(), stdout.columns ?? 80).join("\n")}\n`);
    return answer.rows.length === 0 && isFiltered(context, filter) ? 1 : 0;
  },
});

function isFiltered({ stderr }: Context, filter: object): boolean {
  if (Object.keys(filter).length === 0) return false;
  stderr.write("postern: no message matches\n");
  return true;
}

/** @param width  columns of the terminal */
export function renderSummary(answer: Answer, by: string, nowMs: number, width: number): string[] {
  const { rows, total, groups } = answer;
  if (rows.length === 0) return ["no messages"];
  const table = by === "reason" ? reasonColumns(nowMs) : ageColumns(by, Object.keys(total.ages));
  const sum: Row = { key: "all", messages: total.messages, oldestAt: "", ages: total.ages, sample: "" };
  const lines = renderTable(table, by === "reason" ? rows : [...rows, sum], width);
  const more = groups > rows.length ? `, the ${rows.length} largest of ${groups} groups` : "";
  const oldest = total.oldestAt === null ? "" : `, the oldest ${age(nowMs - Date.parse(total.oldestAt))} old`;
  const count = `${total.messages} ${total.messages === 1 ? "message" : "messages"}`;
  return [...lines, "", `${count}${oldest}${more}${currency(answer, nowMs)}`];
}

/** How current the figures are, where that matters. */
function currency({ asOf, notIndexed }: Answer, nowMs: number): string {
  const agoMs = asOf === null ? 0 : nowMs - Date.parse(asOf);
  const old = agoMs > 5_000 ? `, as of ${age(agoMs)} ago` : "";
  return notIndexed > 0 ? `${old}; ${notIndexed} more are not looked at` : old;
}

function ageColumns(by: string, ages: readonly string[]): Column<Row>[] {
  return [
    { title: by.toUpperCase(), value: ({ key }) => key, shrinkTo: 14 },
    { title: "MAIL", value: ({ messages }) => String(messages), align: "right" },
    ...ages.map(
      (name): Column<Row> => ({
        title: ageTitles[name] ?? name.replace(/m$/, ""),
        value: ({ ages: counts }) => String(counts[name] || "."),
        align: "right",
      }),
    ),
  ];
}

function reasonColumns(nowMs: number): Column<Row>[] {
  const ago = (at: string | null | undefined): string =>
    at ? (age(nowMs - Date.parse(at)).split(" ")[0] ?? "") : "-";
  return [
    { title: "MAIL", value: ({ messages }) => String(messages), align: "right" },
    { title: "FIRST", value: ({ reason }) => ago(reason?.firstAt), align: "right" },
    { title: "LAST", value: ({ reason }) => ago(reason?.lastAt), align: "right" },
    { title: "TO", value: ({ reason }) => String(reason?.destinations ?? ""), align: "right" },
    { title: "REASON", value: ({ key, reason }) => (reason ? replyWords(reason) : key), shrinkTo: 24 },
    { title: "FOR EXAMPLE", value: ({ sample }) => sample },
  ];
}
