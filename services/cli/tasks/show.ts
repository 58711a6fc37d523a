/** `postern tasks show`: how far a change of many messages is. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { CommandFailed, defineCommand } from "../command-line/command.ts";
import { printable } from "../command-line/table.ts";
import { renderTask } from "./task-view.ts";
import { showTask } from "./tasks-api.ts";

export const command = defineCommand({
  usage: "TASK [--json]",
  details: "An interrupted task is one whose admin ended: start the change again for the rest.",
  options: { json: { type: "boolean", help: "print JSON" } },
  positionals: { min: 1, max: 1 },
  usesAdmin: true,
  examples: [["a task that goes on after Ctrl-C", "tasks show tmks3h5ab1f09c2"]],
  async run({ stdout, ...context }, { json }, [id = ""]) {
    const task = await showTask(await connectToAdmin({ stdout, ...context }), id);
    if (task === undefined) throw new CommandFailed(`there is no task ${printable(id)}`);
    stdout.write(json ? `${JSON.stringify(task, null, 2)}\n` : `${renderTask(task).join("\n")}\n`);
    return 0;
  },
});
