/** `postern tasks list`: the last changes of many messages. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { renderTable, tableWidth } from "../command-line/table.ts";
import { taskColumns } from "./task-view.ts";
import { listTasks } from "./tasks-api.ts";

export const command = defineCommand({
  usage: "[--running] [--json]",
  details: "The newest first, two hundred at most. With --running the exit status is 1 when none runs.",
  options: {
    running: { type: "boolean", help: "only those that run" },
    json: { type: "boolean", help: "print a JSON array" },
  },
  usesAdmin: true,
  examples: [
    ["who changed what lately", "tasks list"],
    ["what runs now", "tasks list --running"],
  ],
  async run(context, { running, json }) {
    const all = await listTasks(await connectToAdmin(context));
    const tasks = running ? all.filter(({ state }) => state === "running") : all;
    const { stdout } = context;
    if (json) stdout.write(`${JSON.stringify(tasks, null, 2)}\n`);
    else if (tasks.length === 0) stdout.write("no tasks\n");
    else {
      const lines = renderTable(taskColumns(stdout, Date.now()), tasks, tableWidth(stdout));
      stdout.write(`${lines.join("\n")}\n`);
    }
    return running && tasks.length === 0 ? 1 : 0;
  },
});
