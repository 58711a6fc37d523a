/** `postern top`: a live screen of the queues; one screen where the output is no terminal. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { duration } from "../../../shared/config/values.ts";
import type { AdminClient } from "../admin-api/admin-client.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { mailByStatus, queueCounts } from "../admin-api/queue-counts.ts";
import { CommandFailed, defineCommand, UsageError } from "../command-line/command.ts";
import { truncate } from "../command-line/table.ts";
import { type Moment, renderTop } from "./screen.ts";

const queuesSchema = z.object({
  queues: z.array(queueCounts),
  oldestSeconds: z.number().nullable(),
});
const servicesSchema = z.object({
  services: z.array(z.object({ name: z.string(), ready: z.boolean(), reasons: z.array(z.string()) })),
});
const group = z.object({ key: z.string(), messages: z.number(), held: z.number(), oldestAt: z.string() });
const summarySchema = z.object({ rows: z.array(group) });

const alternateScreen = "\u001b[?1049h\u001b[?25l";
const ownScreen = "\u001b[?25h\u001b[?1049l";
const home = "\u001b[H";
const clearBelow = "\u001b[J";
const clearLine = "\u001b[K";

export const command = defineCommand({
  usage: "[--interval 2s]",
  details:
    "On a terminal until Ctrl-C; elsewhere one screen. Figures in brackets are changes since the screen before.",
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
    const { stdout } = context;
    const draw = (now: Moment, before: Moment | undefined): string[] =>
      renderTop(stdout, now, before, { width: stdout.columns ?? 120, height: stdout.rows ?? 40 });
    if (stdout.isTTY !== true) {
      stdout.write(`${draw(await look(client), undefined).join("\n")}\n`);
      return 0;
    }
    const ended = new AbortController();
    const end = (): void => ended.abort();
    process.once("SIGINT", end).once("SIGTERM", end);
    stdout.write(alternateScreen);
    try {
      for (let before: Moment | undefined; !ended.signal.aborted; ) {
        try {
          const now = await look(client);
          const lines = draw(now, before).map((line) => `${line}${clearLine}`);
          stdout.write(`${home}${lines.join("\n")}${clearBelow}`);
          before = now;
        } catch (error) {
          // The admin may be starting again.
          if (!(error instanceof CommandFailed) || before === undefined) throw error;
          stdout.write(`${home}${truncate(error.message, stdout.columns ?? 80)}${clearLine}`);
        }
        await sleep(everyMs, undefined, { signal: ended.signal }).catch(() => {});
      }
    } finally {
      stdout.write(ownScreen);
      process.off("SIGINT", end).off("SIGTERM", end);
    }
    return 0;
  },
});

async function look(client: AdminClient): Promise<Moment> {
  const summary = (by: string) => client.get("/api/v1/queues/summary", { by, limit: "20" });
  const [queues, services, destinations, reasons] = await Promise.all([
    client.get("/api/v1/queues").then((body) => queuesSchema.parse(body)),
    client.get("/api/v1/services").then((body) => servicesSchema.parse(body)),
    summary("destination").then((body) => summarySchema.parse(body)),
    summary("reason").then((body) => summarySchema.parse(body)),
  ]);
  return {
    atMs: Date.now(),
    services: services.services,
    counts: mailByStatus(queues.queues),
    oldestSeconds: queues.oldestSeconds,
    destinations: destinations.rows,
    reasons: reasons.rows,
  };
}
