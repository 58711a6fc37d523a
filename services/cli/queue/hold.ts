/** `postern queue hold`: no attempts until the messages are released. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { change, changeOptions, changeUsage, printReport } from "./change.ts";
import { filterOptions, manyIds, readSelection, readUntil, selectionUsage } from "./queue-selection.ts";

const words = { action: "hold", verb: "Hold", done: "held" };

export const command = defineCommand({
  details:
    "One sender, one domain or --all is a rule: it holds later messages too, until 'queue release'. A hold that stands\n" +
    "is changed with --replace only, and keeps its end and its reason unless they are given. 'postern holds' lists them.",
  usage: `${selectionUsage} [--until WHEN] [--replace] ${changeUsage}`,
  options: {
    ...filterOptions,
    until: {
      type: "string",
      value: "WHEN",
      help: "the hold ends by itself: 2h, 2030-01-31T12:00:00Z, or never",
    },
    replace: { type: "boolean", help: "change a hold of the same mail that stands" },
    ...changeOptions,
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    [
      "a server is being repaired",
      "queue hold --to '*@example.com' --reason 'their server moves' --until 2h",
    ],
    ["a sender who may have been taken over", "queue hold --from ann@example.net --reason 'spam?'"],
    ["the repair takes longer", "queue hold --to '*@example.com' --replace --until 6h"],
  ],
  async run(context, values, ids) {
    const selection = readSelection(values, ids);
    const { until } = values;
    const terms = {
      ...(until === undefined ? {} : { until: until === "never" ? null : readUntil(until, Date.now()) }),
      replace: values.replace,
    };
    const client = await connectToAdmin(context);
    const report = await change(context, client, words, selection, terms, values);
    return report === undefined ? 1 : printReport(context, words, selection, report, values);
  },
});
