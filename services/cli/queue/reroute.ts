/** `postern queue reroute`: sends queued messages by another next hop. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { change, changeOptions, changeUsage, printReport } from "./change.ts";
import { filterOptions, manyIds, readSelection, selectionUsage } from "./queue-selection.ts";

const words = { action: "reroute", verb: "Reroute", done: "rerouted" };

export const command = defineCommand({
  usage: `${selectionUsage} --via HOST|NAME|mx|original ${changeUsage}`,
  details:
    "They are due now, unless a hold covers their new next hop; a hold of the old one holds them no more. Only messages that\n" +
    "are in the queues now: the configuration routes those that come later. --via original undoes it: the routing table\n" +
    "decides again. relay.backup does not take over what was rerouted.",
  options: {
    via: {
      type: "string",
      required: true,
      value: "HOP",
      help: "a name of relay.hosts, HOST:PORT, HOST (port 25), mx, or original: by the routing table",
    },
    ...filterOptions,
    ...changeOptions,
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    ["the relay host is down, and the other one is up", "queue reroute --route isp --via isp2"],
    ["a domain that moves to a new server", "queue reroute --to '*@example.com' --via 203.0.113.26:25"],
    ["undo", "queue reroute --to '*@example.com' --via original"],
  ],
  async run(context, { via, ...values }, ids) {
    const selection = readSelection(values, ids);
    const client = await connectToAdmin(context);
    const report = await change(context, client, words, selection, { via }, values);
    return report === undefined ? 1 : printReport(context, words, selection, report, values);
  },
});
