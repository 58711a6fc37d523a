/** `postern queue show`: everything about messages but their bodies. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { messagesOf, showMessage } from "./queue-api.ts";
import { filterOptions, manyIds, readSelection, selectionUsage } from "./queue-selection.ts";
import { print, printUnknown, renderDetail } from "./queue-view.ts";

export const command = defineCommand({
  usage: `${selectionUsage} [--json]`,
  options: {
    ...filterOptions,
    json: { type: "boolean", help: "print JSON: an object, or an array for several" },
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    ["by queue id, which the client got with its 250", "queue show 1CB45TNPQ8SWA7XH0"],
    ["by Message-ID", "queue show '<4711.1@example.net>'"],
    ["all held mail", "queue show --status held"],
  ],
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
        print(context, [
          ...(index > 0 ? [""] : []),
          ...renderDetail(detail, Date.now(), context.stdout.columns),
        ]);
      });
      if (shown.length === 0 && unknown.length === 0) print(context, ["no message matches"]);
    }
    const status = printUnknown(context, unknown);
    return shown.length === 0 && selection.kind !== "all" ? 1 : status;
  },
});
