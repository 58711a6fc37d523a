/** `postern holds`: which mail is held, why, by whom, until when, and how many messages wait. */
import { age } from "../../../shared/age.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { type Column, renderTable, tableWidth } from "../command-line/table.ts";
import { type Hold, listHolds } from "./holds-api.ts";

export const command = defineCommand({
  usage: "[--json]",
  details:
    "'postern queue hold' makes a hold, 'postern queue release --hold HOLD' ends it. A message under two holds counts\n" +
    "for both.",
  options: {
    json: {
      type: "boolean",
      help: "print an array of { id, kind, value, reason, by, since, until, waiting }",
    },
  },
  usesAdmin: true,
  examples: [
    ["what is held now?", "holds"],
    ["its messages", "queue list --status held"],
  ],
  async run(context, { json }) {
    const holds = await listHolds(await connectToAdmin(context));
    const { stdout } = context;
    if (json) stdout.write(`${JSON.stringify(holds, null, 2)}\n`);
    else if (holds.length === 0) stdout.write("no holds\n");
    else {
      const lines = renderTable(columns(Date.now()), holds, tableWidth(stdout));
      stdout.write(`${lines.join("\n")}\n`);
    }
    return 0;
  },
});

function columns(nowMs: number): Column<Hold>[] {
  const ago = (at: string) => age(nowMs - Date.parse(at)).split(" ")[0] ?? "";
  return [
    { title: "HOLD", value: ({ id }) => id },
    { title: "WAITING", value: ({ waiting }) => (waiting === null ? "?" : String(waiting)), align: "right" },
    { title: "SINCE", value: ({ since }) => ago(since), align: "right" },
    { title: "ENDS IN", value: ({ until }) => left(until, nowMs), align: "right" },
    { title: "BY", value: ({ by }) => by ?? "-", shrinkTo: 6 },
    { title: "REASON", value: ({ reason }) => reason, shrinkTo: 10 },
  ];
}

function left(until: string | null, nowMs: number): string {
  return until === null ? "-" : age(Date.parse(until) - nowMs);
}
