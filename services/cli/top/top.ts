/** `postern top`: a live screen of the gateway; one screen where the output is no terminal. */
import { z } from "zod";
import { duration } from "../../../shared/config/values.ts";
import { type AdminClient, AdminRefused } from "../admin-api/admin-client.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { mailByStatus } from "../admin-api/queue-counts.ts";
import { CommandFailed, defineCommand, UsageError } from "../command-line/command.ts";
import { truncate } from "../command-line/table.ts";
import { parseStatus } from "../overview/status-answer.ts";
import { showLive } from "./live-screen.ts";
import { type Group, type Moment, renderTop } from "./screen.ts";

const group = z.object({ key: z.string(), messages: z.number(), held: z.number(), oldestAt: z.string() });
const summarySchema = z.object({ rows: z.array(group) });
/** For a pipe or a file. */
const sizeWithoutTerminal = { width: 120, height: 40 };

export const command = defineCommand({
  usage: "[--interval 2s]",
  details:
    "On a terminal until q or Ctrl-C; any other key looks at once. Elsewhere one screen. Figures in brackets are changes\n" +
    "since the screen before; rates are messages a minute over the last minute, as in 'postern status'.",
  options: {
    interval: { type: "string", value: "DURATION", help: "between two looks, 1s at least; default 2s" },
  },
  usesAdmin: true,
  examples: [
    ["while a server is coming back", "top"],
    ["one screen, for a report", "top | cat"],
  ],
  async run(context, { interval = "2s" }) {
    const everyMs = duration.safeParse(interval).data;
    if (everyMs === undefined || everyMs < 1000)
      throw new UsageError(`needs a duration of 1s at least for --interval, not '${interval}'`);
    const client = await connectToAdmin(context);
    const { stdin, stdout } = context;
    const draw = (now: Moment, before: Moment | undefined): string[] =>
      renderTop(stdout, now, before, {
        width: stdout.columns ?? sizeWithoutTerminal.width,
        height: stdout.rows ?? sizeWithoutTerminal.height,
      });
    if (stdout.isTTY !== true) {
      stdout.write(`${draw(await look(client), undefined).join("\n")}\n`);
      return 0;
    }
    let before: Moment | undefined;
    await showLive({
      screen: stdout,
      keyboard: stdin,
      everyMs,
      async lines(signal) {
        try {
          const now = await look(client, signal);
          const lines = draw(now, before);
          before = now;
          return lines;
        } catch (error) {
          // The admin may be starting again.
          if (!(error instanceof CommandFailed) || before === undefined) throw error;
          return [truncate(error.message, stdout.columns ?? sizeWithoutTerminal.width)];
        }
      },
    });
    return 0;
  },
});

async function look(client: AdminClient, signal?: AbortSignal): Promise<Moment> {
  const [status, destinations, reasons] = await Promise.all([
    client.get("/api/v1/status", {}, signal).then(parseStatus),
    largest(client, "destination", signal),
    largest(client, "reason", signal),
  ]);
  return {
    status,
    counts: status.queues === null ? undefined : mailByStatus(status.queues),
    destinations,
    reasons,
  };
}

/** @returns `undefined` while Redis is out of reach or the queues are not known */
async function largest(
  client: AdminClient,
  by: "destination" | "reason",
  signal?: AbortSignal,
): Promise<Group[] | undefined> {
  try {
    const answer = await client.get("/api/v1/queues/summary", { by, limit: "20" }, signal);
    return summarySchema.parse(answer).rows;
  } catch (error) {
    if (error instanceof AdminRefused && error.status === 503) return undefined;
    throw error;
  }
}
