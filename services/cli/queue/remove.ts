/** `postern queue remove`: removes messages, with or without a notification. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { change, changeOptions, changeUsage, printReport } from "./change.ts";
import { filterOptions, manyIds, readSelection, selectionUsage } from "./queue-selection.ts";

const words = { action: "remove", verb: "Remove", done: "removed" };

export const command = defineCommand({
  usage: `${selectionUsage} [--notify] ${changeUsage}`,
  options: {
    ...filterOptions,
    notify: { type: "boolean", help: "send their senders a delivery status notification" },
    ...changeOptions,
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    ["how many would go", "queue remove --from spam@example.net --dry-run"],
    ["spam from one sender, without a report to anybody", "queue remove --from spam@example.net"],
    ["mail to a domain that is gone; its senders hear of it", "queue remove --to '*@example.org' --notify"],
  ],
  async run(context, values, ids) {
    const selection = readSelection(values, ids);
    const client = await connectToAdmin(context);
    const report = await change(context, client, words, selection, { notify: values.notify }, values);
    return report === undefined ? 1 : printReport(context, words, selection, report, values);
  },
});
