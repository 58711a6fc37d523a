/** `postern tasks cancel`: ends a change of many messages. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { cancelTask } from "./tasks-api.ts";

export const command = defineCommand({
  usage: "TASK...",
  details: "What the task has changed by then stays changed.",
  options: {},
  positionals: { min: 1, max: 100 },
  usesAdmin: true,
  examples: [["a change that was a slip", "tasks cancel tmks3h5ab1f09c2"]],
  async run(context, _, ids) {
    const client = await connectToAdmin(context);
    for (const id of ids) {
      await cancelTask(client, id);
      context.stdout.write(`${id} ends; what it changed stays changed\n`);
    }
    return 0;
  },
});
