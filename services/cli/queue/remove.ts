/** `postern queue remove`: removes messages, with or without a notification. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { printReport } from "./change.ts";
import { changeMessages } from "./queue-api.ts";
import {
  filterOptions,
  jsonOption,
  manyIds,
  readSelection,
  selectionBody,
  selectionUsage,
} from "./queue-selection.ts";

export const command = defineCommand({
  usage: `${selectionUsage} [--notify] [--json]`,
  options: {
    ...filterOptions,
    notify: { type: "boolean", help: "send their senders a delivery status notification" },
    json: jsonOption,
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    ["spam from one sender, without a report to anybody", "queue remove --from spam@example.net"],
    ["mail to a domain that is gone; its senders hear of it", "queue remove --to '*@example.org' --notify"],
  ],
  async run(context, values, words) {
    const selection = readSelection(values, words);
    const client = await connectToAdmin(context);
    const body = { ...selectionBody(selection), notify: values.notify };
    return printReport(
      context,
      "removed",
      selection,
      await changeMessages(client, "remove", body),
      values.json,
    );
  },
});
