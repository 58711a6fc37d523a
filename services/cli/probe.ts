/** `postern probe ADDRESS`: how a delivery would go now, step by step, without mail. */
import { z } from "zod";
import { connectToAdmin } from "./admin-api/admin-connection.ts";
import { type Context, defineCommand, type Output } from "./command-line/command.ts";
import { paint } from "./command-line/paint.ts";
import { withSpinner } from "./command-line/spinner.ts";
import { printable, renderTable } from "./command-line/table.ts";

const stepSchema = z.object({
  step: z.string(),
  target: z.string(),
  ok: z.boolean().nullable(),
  ms: z.number(),
  detail: z.string(),
});
const reportSchema = z.object({
  address: z.string(),
  from: z.string(),
  route: z.string(),
  result: z.enum(["accepted", "deferred", "refused", "unreachable"]),
  ms: z.number(),
  steps: z.array(stepSchema),
});
type Step = z.infer<typeof stepSchema>;
type Report = z.infer<typeof reportSchema>;

export const command = defineCommand({
  usage: "ADDRESS [--from ADDRESS] [--json]",
  details:
    "Asks the DNS, connects to the first server that answers, and goes as far as RCPT. No mail is sent; the server sees\n" +
    "a session that ends before DATA. The admin does it, from its machine. Exit status 1 unless RCPT is accepted.",
  options: {
    from: { type: "string", value: "ADDRESS", help: "the sender of MAIL; default: the null sender <>" },
    json: {
      type: "boolean",
      help: "print { address, from, route, result, ms, steps: [{ step, target, ok, ms, detail }] }",
    },
  },
  positionals: { min: 1, max: 1 },
  usesAdmin: true,
  examples: [
    ["why does mail to this person wait?", "probe ann@example.com"],
    ["as a sender whom the server may refuse", "probe ann@example.com --from news@example.net"],
  ],
  async run(context, { from, json }, [address = ""]) {
    const client = await connectToAdmin(context);
    const body = { address, ...(from === undefined ? {} : { from }) };
    const answer = await withSpinner(context, `asking about ${printable(address)}`, () =>
      client.post("/api/v1/probes", body),
    );
    const report = reportSchema.parse(answer);
    if (json) context.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    else print(context, report);
    return report.result === "accepted" ? 0 : 1;
  },
});

const marks = { true: "ok", false: "FAILED", null: "-" };

function print({ stdout }: Context, { address, from, route, result, ms, steps }: Report): void {
  const width = stdout.columns ?? 120;
  const lines = [printable(`<${address}> from <${from}>: ${route}`)];
  let server = "";
  for (const group of bySession(steps)) {
    const [first] = group;
    if (first === undefined) continue;
    server = isAboutServer(first) ? first.target : "";
    if (server !== "") lines.push("", printable(server));
    lines.push(...renderTable(columns(stdout, server === ""), group, width).slice(1));
  }
  const style = result === "accepted" ? "green" : result === "deferred" ? "yellow" : "red";
  lines.push("", `${paint(stdout, style, result)} after ${ms} ms; no mail was sent`);
  // In the table it may be cut.
  const failed = steps.findLast(({ ok }) => ok === false);
  if (result !== "accepted" && failed !== undefined)
    lines.push(...wrap(printable(`${failed.step}: ${failed.detail}`), width));
  stdout.write(`${lines.join("\n")}\n`);
}

function columns(stdout: Output, hasTarget: boolean) {
  return [
    {
      title: "",
      value: ({ ok }: Step) => `  ${marks[`${ok}`]}`.padEnd(8),
      style: ({ ok }: Step, cell: string) => paint(stdout, ok === null ? "dim" : ok ? "green" : "red", cell),
    },
    {
      title: "MS",
      value: ({ ms }: Step) => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`.padStart(8),
      align: "right" as const,
    },
    { title: "STEP", value: ({ step }: Step) => step.padEnd(8) },
    {
      title: "DETAIL",
      value: ({ target, detail }: Step) => (hasTarget && target !== "" ? `${target}: ${detail}` : detail),
      shrinkTo: 20,
    },
  ];
}

/** At spaces; a longer word has a line of its own. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > width) {
      lines.push(line);
      line = `  ${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Questions to the DNS, then the steps of each server; a new connection to it begins a new session. */
function bySession(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const group = groups.at(-1);
    const before = group?.at(-1);
    const isSame = before !== undefined && isAboutServer(before) === isAboutServer(step);
    if (group === undefined || !isSame || (isAboutServer(step) && before?.target !== step.target))
      groups.push([step]);
    else group.push(step);
  }
  return groups;
}

function isAboutServer({ target }: Step): boolean {
  return /\]:\d+$/.test(target);
}
