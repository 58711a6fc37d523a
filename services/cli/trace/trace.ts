/** `postern trace`: what happened to a message, or to the mail of an address. */
import { z } from "zod";
import { type AdminClient, AdminRefused } from "../admin-api/admin-client.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { CommandFailed, defineCommand, UsageError } from "../command-line/command.ts";
import { printable } from "../command-line/table.ts";
import { renderTrace, type Trace } from "./trace-view.ts";

/** Loose, so that --json prints every field of the response. */
const traceSchema = z.object({
  messages: z.array(z.string()),
  more: z.number(),
  events: z.array(
    z.looseObject({
      at: z.string(),
      event: z.string(),
      id: z.string().optional(),
      label: z.string(),
      text: z.string(),
    }),
  ),
  queued: z.array(
    z.looseObject({
      id: z.string(),
      status: z.string(),
      nextAttemptAt: z.string().nullable(),
      to: z.array(z.string()),
    }),
  ),
});

const widthWithoutTerminal = 80;
const maxLimit = 100;

export const command = defineCommand({
  usage: "ID|ADDRESS|'<MESSAGE-ID>' [--limit N] [--json]",
  details:
    "Delivered, bounced and proxied mail is found too, for as long as events.keep and events.max say. " +
    "The notifications about a message, and what became of them, are in its timeline. Times are UTC.",
  options: {
    limit: {
      type: "string",
      value: "N",
      help: "of an address, the N latest messages; default 20, at most 100",
    },
    json: { type: "boolean", help: "print the events as one JSON array, oldest first" },
  },
  positionals: { min: 1, max: 1 },
  usesAdmin: true,
  examples: [
    ["by queue id, which the client got with its 250", "trace 1M8PRMJ3MPE5VQ7PMY"],
    ["the latest mail from or to somebody", "trace someone@example.com"],
    ["by Message-ID", "trace '<4711.1@example.net>'"],
  ],
  async run(context, values, [wanted = ""]) {
    const limit = Number(values.limit ?? 20);
    if (!(Number.isSafeInteger(limit) && limit > 0 && limit <= maxLimit))
      throw new UsageError(`needs a number from 1 to ${maxLimit} for --limit, not '${values.limit}'`);
    const client = await connectToAdmin(context);
    const trace = await askTrace(client, wanted, limit);
    if (values.json) context.stdout.write(`${JSON.stringify(trace.events, null, 2)}\n`);
    else {
      const lines = renderTrace(
        trace,
        Date.now(),
        context.stdout.columns ?? widthWithoutTerminal,
        context.stdout,
      );
      context.stdout.write(`${lines.join("\n")}\n`);
    }
    return 0;
  },
});

async function askTrace(client: AdminClient, wanted: string, limit: number): Promise<Trace> {
  try {
    return traceSchema.parse(await client.get("/api/v1/trace", { q: wanted, limit: String(limit) }));
  } catch (error) {
    if (error instanceof AdminRefused && error.status === 404)
      throw new CommandFailed(`nothing is known of ${printable(wanted)}`);
    throw error;
  }
}
