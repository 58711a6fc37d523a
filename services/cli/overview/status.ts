/** `postern status`: is it well, in one screen. */
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { parseStatus } from "./status-answer.ts";
import { renderStatus } from "./status-view.ts";

export const command = defineCommand({
  usage: "[--json]",
  details:
    "Exit status 1 when it is not well: a service is missing, or mail is not accepted, delivered and returned. The rates are messages a minute.",
  options: {
    json: {
      type: "boolean",
      help: "print { ok, reasons, services, queues, rates, oldestSeconds, worst, next, … }",
    },
  },
  usesAdmin: true,
  examples: [
    ["is it well, what is stuck, what to do", "status"],
    ["for a check by a script", "status --json | jq -r '.reasons[]'"],
  ],
  async run(context, { json }) {
    const client = await connectToAdmin(context);
    const answer = await client.get("/api/v1/status");
    const status = parseStatus(answer);
    const { stdout } = context;
    if (json) stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    else stdout.write(`${renderStatus(status, stdout.columns ?? 80).join("\n")}\n`);
    return status.ok ? 0 : 1;
  },
});
