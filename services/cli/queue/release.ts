/** `postern queue release`: ends holds. */
import { z } from "zod";
import type { AdminClient } from "../admin-api/admin-client.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { CommandFailed, type Context, defineCommand, UsageError } from "../command-line/command.ts";
import { canAsk, confirm } from "../command-line/confirm.ts";
import { printable } from "../command-line/table.ts";
import { type Hold, listHolds } from "../holds/holds-api.ts";
import { type ChangeValues, change, changeOptions, changeUsage, printReport } from "./change.ts";
import { filterOptions, manyIds, readSelection, selectionUsage } from "./queue-selection.ts";

const words = { action: "release", verb: "Release", done: "released" };
const removedSchema = z.object({ released: z.number(), stillHeld: z.number() });

export const command = defineCommand({
  usage: `${selectionUsage}|--hold HOLD... ${changeUsage}`,
  details: "Released messages are due now. Those that another hold covers stay held.",
  options: {
    ...filterOptions,
    hold: {
      type: "string",
      multiple: true,
      value: "HOLD",
      help: "a hold as 'postern holds' lists it; may be repeated",
    },
    ...changeOptions,
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    ["the end of 'queue hold --to', with its rule", "queue release --to '*@example.com'"],
    ["a hold of the list of holds", "queue release --hold sender:ann@example.net"],
    ["everything that is held", "queue release --all"],
  ],
  async run(context, { hold, ...values }, ids) {
    if (hold.length > 0) {
      const { to, from, route, older, status, error, queue, search, all } = values;
      const others = [to, from, route, older, status, error, queue, search].some(
        (each) => each !== undefined,
      );
      if (others || all || ids.length > 0) throw new UsageError("takes --hold alone, without ids or filters");
      return releaseRules(context, await connectToAdmin(context), hold, values);
    }
    const selection = readSelection(values, ids);
    const client = await connectToAdmin(context);
    const report = await change(context, client, words, selection, {}, values);
    return report === undefined ? 1 : printReport(context, words, selection, report, values);
  },
});

/** @returns the exit status */
async function releaseRules(
  context: Context,
  client: AdminClient,
  ids: readonly string[],
  { yes, json, reason, "dry-run": dryRun }: ChangeValues,
): Promise<number> {
  const standing = new Map((await listHolds(client)).map((hold) => [hold.id, hold]));
  const holds = ids.map((id): Hold => {
    const found = standing.get(id);
    if (found === undefined)
      throw new CommandFailed(`there is no hold '${printable(id)}': see 'postern holds'`);
    return found;
  });
  const waiting = holds.reduce((sum, each) => sum + (each.waiting ?? 0), 0);
  const messages = `${waiting} ${waiting === 1 ? "message" : "messages"}`;
  if (dryRun) {
    context.stdout.write(`would release ${messages}\n`);
    return 0;
  }
  if (!yes && canAsk(context) && !(await confirm(context, `Release ${messages}?`))) {
    context.stderr.write("nothing was changed\n");
    return 1;
  }
  const query = reason === undefined ? "" : `?${new URLSearchParams({ reason })}`;
  const sum = { released: 0, stillHeld: 0 };
  for (const { id } of holds) {
    const removed = removedSchema.parse(
      await client.delete(`/api/v1/holds/${encodeURIComponent(id)}${query}`),
    );
    sum.released += removed.released;
    sum.stillHeld = removed.stillHeld;
  }
  const still = sum.stillHeld === 0 ? "" : `; ${sum.stillHeld} are held by other holds`;
  context.stdout.write(json ? `${JSON.stringify(sum)}\n` : `released ${sum.released}${still}\n`);
  return 0;
}
