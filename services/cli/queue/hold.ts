/** `postern queue hold`: no attempts until the messages are released. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { printReport } from "./change.ts";
import { changeMessages } from "./queue-api.ts";
import {
  filterOptions,
  jsonOption,
  manyIds,
  readSelection,
  readUntil,
  selectionBody,
  selectionUsage,
} from "./queue-selection.ts";

export const command = defineCommand({
  details: "One sender, one domain or --all is a rule: it holds later messages too, until 'queue release'.",
  usage: `${selectionUsage} [--reason TEXT] [--until TIME|DURATION] [--json]`,
  options: {
    ...filterOptions,
    reason: { type: "string", value: "TEXT", help: "why; shown to people" },
    until: { type: "string", value: "WHEN", help: "the hold ends by itself: 2h, or 2030-01-31T12:00:00Z" },
    json: jsonOption,
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    [
      "a server is being repaired",
      "queue hold --to '*@example.com' --reason 'their server moves' --until 2h",
    ],
    ["a sender who may have been taken over", "queue hold --from ann@example.net --reason 'spam?'"],
  ],
  async run(context, values, words) {
    const selection = readSelection(values, words);
    const body = {
      ...selectionBody(selection),
      ...(values.reason === undefined ? {} : { reason: values.reason }),
      ...(values.until === undefined ? {} : { until: readUntil(values.until, Date.now()) }),
    };
    const client = await connectToAdmin(context);
    return printReport(context, "held", selection, await changeMessages(client, "hold", body), values.json);
  },
});
