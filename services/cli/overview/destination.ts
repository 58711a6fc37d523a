/** `postern destination NAME`: why mail to a destination is slow, and what waits for it. */
import { z } from "zod";
import { age } from "../../../shared/age.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { printable } from "../command-line/table.ts";
import { renderSummary, summaryRow, summaryTotal } from "./summary.ts";

const answerSchema = z.object({
  name: z.string(),
  limits: z.object({
    connections: z.number(),
    messagesPerConnection: z.number(),
    rate: z.string().nullable(),
  }),
  connections: z.number(),
  slots: z.array(
    z.object({ host: z.string().nullable(), pid: z.number().nullable(), connections: z.number() }),
  ),
  why: z.array(z.string()),
  waiting: summaryTotal,
  reasons: z.array(summaryRow),
  asOf: z.string().nullable(),
  indexed: z.number(),
  notIndexed: z.number(),
});

export const command = defineCommand({
  usage: "NAME [--json]",
  details:
    "NAME is a domain of recipients, or the host of a next hop. Exit status 1 when nothing is known of it.",
  options: {
    json: { type: "boolean", help: "print { name, limits, slots, learnt, dead, why, waiting, reasons }" },
  },
  positionals: { min: 1, max: 1 },
  usesAdmin: true,
  examples: [["why mail to a domain waits", "destination example.com"]],
  async run(context, { json }, [name = ""]) {
    const client = await connectToAdmin(context);
    const answer = await client.get(`/api/v1/destinations/${encodeURIComponent(name)}`);
    const found = answerSchema.parse(answer);
    const { stdout } = context;
    if (json) stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    else stdout.write(`${render(found, stdout.columns ?? 80).join("\n")}\n`);
    return found.waiting.messages === 0 && found.connections === 0 && found.why.length === 0 ? 1 : 0;
  },
});

function render(found: z.infer<typeof answerSchema>, width: number): string[] {
  const { name, limits, connections, slots, why, waiting, reasons } = found;
  const nowMs = Date.now();
  const rate = limits.rate === null ? "" : `, ${limits.rate}`;
  const lines = [
    printable(name),
    `  Limit:   ${limits.connections} connections${rate}, ${limits.messagesPerConnection} messages each`,
    `  In use:  ${connections}`,
    ...slots.map(
      ({ host, pid, connections: count }) => `           ${count} by ${host ?? "?"} (pid ${pid ?? "?"})`,
    ),
    ...why.map((sentence) => `  Why:     ${printable(sentence)}`),
  ];
  if (waiting.messages === 0) return [...lines, "  Waiting: nothing"];
  const oldest =
    waiting.oldestAt === null ? "" : `, the oldest for ${age(nowMs - Date.parse(waiting.oldestAt))}`;
  lines.push(`  Waiting: ${waiting.messages}${oldest}`, "");
  const summary = { ...found, rows: reasons, total: waiting, groups: reasons.length };
  return [...lines, ...renderSummary(summary, "reason", nowMs, width)];
}
