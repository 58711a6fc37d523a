/** `postern drain`: takes a host out of service, and waits until it may be stopped. */
import { hostname } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { duration } from "../../shared/config/values.ts";
import type { AdminClient } from "./admin-api/admin-client.ts";
import { connectToAdmin } from "./admin-api/admin-connection.ts";
import { defineCommand, UsageError } from "./command-line/command.ts";
import { unlessInterrupted } from "./command-line/interrupt.ts";

const reportSchema = z.object({
  hosts: z.array(
    z.object({
      host: z.string(),
      state: z.string(),
      processes: z.array(z.object({ pid: z.int(), sessions: z.int().nullable() })),
      others: z.int(),
    }),
  ),
  mail: z.object({
    waiting: z.int(),
    active: z.int(),
    deferred: z.int(),
    held: z.int(),
    dead: z.int(),
  }),
});
type Report = z.infer<typeof reportSchema>;

const pollMs = 1_000;
/** So often in a row it has to be drained: what was accepted last is in the queues within a second. */
const times = 2;

export const command = defineCommand({
  usage: "[HOST] [--end | --no-wait | --timeout 30m] [--reason TEXT] [--json]",
  details: [
    "The ingress of the host (default: this one) answers 421 4.3.2 to new clients, ends sessions between two messages, and is not ready, so that load balancers leave it. Deliveries go on.",
    "Waits until no client is connected and all mail that can be delivered is; where other hosts take mail from the same queues, until no client is connected. Then its services may be stopped. What is deferred, held or dead stays in the spool: 'postern spool copy' hands it to another gateway. Ctrl-C ends the waiting; the same command waits again.",
    "Exit status: 0 when it is drained, 1 when not in time or the host is not known.",
  ].join("\n"),
  options: {
    end: { type: "boolean", help: "put the host back into service" },
    "no-wait": { type: "boolean", help: "begin it, and say how far it is" },
    timeout: { type: "string", value: "30m", help: "wait for so long at most; default: for ever" },
    reason: { type: "string", value: "TEXT", help: "for people, in the health and in the log" },
    json: { type: "boolean", help: "print { hosts: [{ host, state, processes, others }], mail } at the end" },
  },
  positionals: { min: 0, max: 1 },
  usesAdmin: true,
  examples: [
    ["before this host is stopped", "drain --reason 'new disk'"],
    ["another host, for half an hour at most", "drain gw2 --timeout 30m"],
    ["back into service", "drain --end"],
  ],
  async run(context, values, [host = hostname()]) {
    if (values.end && (values["no-wait"] || values.timeout !== undefined))
      throw new UsageError("takes --end without --no-wait and --timeout");
    const untilMs = values.timeout === undefined ? Number.POSITIVE_INFINITY : deadline(values.timeout);
    const client = await connectToAdmin(context);
    const finish = (report: Report, status: number): number => {
      const { stdout } = context;
      if (values.json) stdout.write(`${JSON.stringify(report, null, 2)}\n`);
      return status;
    };
    if (values.end) {
      const report = reportSchema.parse(await client.post("/api/v1/drain/end", { host }));
      if (!values.json) context.stdout.write(`${host} is in service again\n`);
      return finish(report, 0);
    }
    const { reason } = values;
    const begun = reportSchema.parse(
      await client.post("/api/v1/drain", { host, ...(reason === undefined ? {} : { reason }) }),
    );
    const say = values.json ? () => {} : (line: string) => void context.stdout.write(`${line}\n`);
    if (values["no-wait"]) {
      say(describe(host, begun));
      return finish(begun, 0);
    }
    const waited = await unlessInterrupted(follow(client, host, { begun, untilMs, say }));
    if (waited === undefined) {
      context.stderr.write(`postern: ${host} stays out of service; 'postern drain --end' puts it back\n`);
      return 1;
    }
    const { report, isDrained } = waited.value;
    if (isDrained) for (const line of summarize(host, report)) say(line);
    else context.stderr.write(`postern: not drained in time: ${describe(host, report)}\n`);
    return finish(report, isDrained ? 0 : 1);
  },
});

function deadline(given: string): number {
  const parsed = duration.safeParse(given);
  if (!parsed.success) throw new UsageError("needs a duration for --timeout: 30m, 2h");
  return performance.now() + parsed.data;
}

async function follow(
  client: AdminClient,
  host: string,
  { begun, untilMs, say }: { begun: Report; untilMs: number; say(line: string): void },
): Promise<{ report: Report; isDrained: boolean }> {
  let report = begun;
  let said = "";
  for (let drained = 0; ; ) {
    const line = describe(host, report);
    if (line !== said) say(line);
    said = line;
    drained = stateOf(host, report) === "drained" ? drained + 1 : 0;
    if (drained >= times) return { report, isDrained: true };
    if (performance.now() >= untilMs) return { report, isDrained: false };
    await wait(pollMs);
    report = reportSchema.parse(await client.get("/api/v1/drain"));
  }
}

function stateOf(host: string, { hosts }: Report): string | undefined {
  return hosts.find((each) => each.host === host)?.state;
}

function describe(host: string, { hosts, mail }: Report): string {
  const found = hosts.find((each) => each.host === host);
  const processes = found?.processes ?? [];
  const unaware = processes.filter(({ sessions }) => sessions === null).length;
  const clients = processes.reduce((sum, { sessions }) => sum + (sessions ?? 0), 0);
  const parts = [
    unaware > 0
      ? `${unaware} of ${processes.length} ingress processes do not know yet`
      : `${clients} clients`,
    `${mail.waiting} waiting`,
    `${mail.active} being delivered`,
  ];
  return `${host}: ${parts.join(", ")}`;
}

function summarize(host: string, { hosts, mail }: Report): string[] {
  const others = hosts.find((each) => each.host === host)?.others ?? 0;
  const left = (["deferred", "held", "dead"] as const)
    .filter((status) => mail[status] > 0)
    .map((status) => `${mail[status]} ${status}`);
  const first = `${host} is drained: its services may be stopped`;
  if (others > 0) return [first, "other hosts deliver what is in the queues"];
  return left.length === 0 ? [first, "no mail is left"] : [first, `left in its spool: ${left.join(", ")}`];
}
