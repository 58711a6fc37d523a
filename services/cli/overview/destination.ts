/** `postern destination [NAME]`: why mail to a destination is slow, and what waits for it; or all destinations. */
import { z } from "zod";
import { age } from "../../../shared/age.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { defineCommand } from "../command-line/command.ts";
import { type Column, printable, renderTable } from "../command-line/table.ts";
import { formatCount, wrap } from "../command-line/wrap.ts";
import { renderSummary, summaryRow, summaryTotal } from "./summary.ts";

const phasesSchema = z.record(z.string(), z.number());
const indexFields = { asOf: z.string().nullable(), indexed: z.number(), notIndexed: z.number() };
const answerSchema = z.object({
  name: z.string(),
  nextHop: z.string().nullable(),
  countedAs: z.string(),
  limits: z.object({
    connections: z.number(),
    messagesPerConnection: z.number(),
    rate: z.string().nullable(),
  }),
  rateInUse: z.object({ used: z.number(), of: z.number(), nextAt: z.string().nullable() }).nullable(),
  connections: z.number(),
  slots: z.array(
    z.object({
      host: z.string().nullable(),
      pid: z.number().nullable(),
      connections: z.number(),
      phases: phasesSchema,
    }),
  ),
  phases: phasesSchema,
  why: z.array(z.string()),
  lastDelivered: z.array(z.object({ at: z.string(), id: z.string(), remote: z.string(), reply: z.string() })),
  waiting: summaryTotal,
  reasons: z.array(summaryRow),
  ...indexFields,
});
const listSchema = z.object({
  ...indexFields,
  all: z.number(),
  destinations: z.array(
    z.object({
      name: z.string(),
      messages: z.number(),
      held: z.number(),
      oldestAt: z.string().nullable(),
      connections: z.number(),
      phases: phasesSchema,
      dead: z.object({ since: z.string().nullable(), reason: z.string() }).nullable(),
    }),
  ),
});
type Listed = z.infer<typeof listSchema>["destinations"][number];

export const command = defineCommand({
  usage: "[NAME] [--json]",
  details:
    "NAME is a domain of recipients, the name of a relay host, or the host of a next hop. Without it: all destinations with queued mail, connections or hosts that do not answer. Exit status 1 when nothing is known of it.",
  options: {
    json: {
      type: "boolean",
      help: "print { name, nextHop, limits, slots, phases, learnt, dead, why, waiting, reasons }, or an array",
    },
  },
  positionals: { min: 0, max: 1 },
  usesAdmin: true,
  examples: [
    ["all destinations", "destination"],
    ["why mail to a domain waits", "destination example.com"],
  ],
  async run(context, { json }, [name]) {
    const client = await connectToAdmin(context);
    const { stdout } = context;
    const width = stdout.columns ?? 80;
    if (name === undefined) {
      const answer = await client.get("/api/v1/destinations", { limit: json ? "1000" : "100" });
      const found = listSchema.parse(answer);
      if (json)
        stdout.write(`${JSON.stringify((answer as { destinations: unknown }).destinations, null, 2)}\n`);
      else stdout.write(`${renderList(found, Date.now(), width).join("\n")}\n`);
      return 0;
    }
    const answer = await client.get(`/api/v1/destinations/${encodeURIComponent(name)}`);
    const found = answerSchema.parse(answer);
    if (json) stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    else stdout.write(`${render(found, width).join("\n")}\n`);
    const { waiting, connections, why, phases, lastDelivered } = found;
    const isKnown =
      waiting.messages > 0 ||
      connections > 0 ||
      why.length > 0 ||
      lastDelivered.length > 0 ||
      Object.keys(phases).length > 0;
    return isKnown ? 0 : 1;
  },
});

function renderList(
  { all, destinations }: z.infer<typeof listSchema>,
  nowMs: number,
  width: number,
): string[] {
  if (destinations.length === 0) return ["no destination has mail, connections or dead hosts"];
  const columns: Column<Listed>[] = [
    { title: "DESTINATION", value: ({ name }) => name, shrinkTo: 16 },
    { title: "MAIL", value: ({ messages }) => String(messages), align: "right" },
    { title: "HELD", value: ({ held }) => String(held || "."), align: "right" },
    {
      title: "OLDEST",
      value: ({ oldestAt }) => (oldestAt === null ? "-" : age(nowMs - Date.parse(oldestAt))),
      align: "right",
    },
    { title: "CONNECTIONS", value: ({ phases }) => describePhases(phases) || "-", shrinkTo: 12 },
    {
      title: "NO ANSWER",
      value: ({ dead }) =>
        dead === null ? "" : dead.since === null ? "yes" : `for ${age(nowMs - Date.parse(dead.since))}`,
    },
  ];
  const lines = renderTable(columns, destinations, width);
  const count = formatCount(all, "destination");
  return [...lines, "", all > destinations.length ? `the first ${destinations.length} of ${count}` : count];
}

const phaseWords: Record<string, string> = {
  waiting: "waiting for one",
  tls: "in TLS handshake",
  auth: "logging in",
  greeting: "awaiting greeting",
  transaction: "sending",
};

/** `3 sending, 1 idle`. */
export function describePhases(phases: Record<string, number>): string {
  return Object.entries(phases)
    .map(([phase, count]) => `${count} ${phaseWords[phase] ?? phase}`)
    .join(", ");
}

/** Where the texts stand that follow a label. */
const indent = 11;

function render(found: z.infer<typeof answerSchema>, width: number): string[] {
  const { name, nextHop, countedAs, limits, rateInUse, connections, slots, phases } = found;
  const { why, lastDelivered, waiting, reasons } = found;
  const nowMs = Date.now();
  const rate = limits.rate === null ? "" : `, ${limits.rate}`;
  const others = phases.waiting ? `, ${formatCount(phases.waiting, "message")} waiting for one` : "";
  const labelled = (label: string, lines: readonly string[]): string[] =>
    lines
      .flatMap((line) => wrap(printable(line), width - indent))
      .map((line, index) => `  ${(index === 0 ? label : "").padEnd(indent - 2)}${line}`);
  const lines = [
    printable(name),
    ...labelled("Goes to:", nextHop === null || nextHop === `mx ${name}` ? [] : [nextHop]),
    ...labelled("Limit:", [
      `${limits.connections} connections${rate}, ${limits.messagesPerConnection} messages each${countedAs === name ? "" : ` (as ${countedAs})`}`,
    ]),
    ...labelled("Rate:", rateInUse === null ? [] : [`${rateInUse.used} of ${rateInUse.of} used`]),
    ...labelled("In use:", [
      `${connections}${others}`,
      ...slots.map((slot) => {
        const { waiting: _, ...held } = slot.phases;
        const what = describePhases(held);
        return `${slot.connections} by ${slot.host ?? "?"} (pid ${slot.pid ?? "?"})${what === "" ? "" : `: ${what}`}`;
      }),
    ]),
    ...labelled("Why:", why),
    ...labelled(
      "Took:",
      lastDelivered.map(
        ({ at, id, remote, reply }) => `${id} ${age(nowMs - Date.parse(at))} ago, ${remote}: ${reply}`,
      ),
    ),
  ];
  if (waiting.messages === 0) return [...lines, "  Waiting: nothing"];
  const oldest =
    waiting.oldestAt === null ? "" : `, the oldest for ${age(nowMs - Date.parse(waiting.oldestAt))}`;
  lines.push(`  Waiting: ${waiting.messages}${oldest}`, "");
  const summary = { ...found, rows: reasons, total: waiting, groups: reasons.length };
  return [...lines, ...renderSummary(summary, "reason", nowMs, width)];
}
