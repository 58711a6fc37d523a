/** Renders messages and reports of the queue as lines for people, and prints them. */
import { age } from "../../../shared/age.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import type { Context, Output } from "../command-line/command.ts";
import { paint, type Style } from "../command-line/paint.ts";
import {
  type Column,
  displayWidth,
  printable,
  startTable,
  tableWidth,
  truncate,
} from "../command-line/table.ts";
import { wrap } from "../command-line/wrap.ts";
import type { Detail, Report, Row } from "./queue-api.ts";

export function print({ stdout }: Context, lines: readonly string[]): void {
  if (lines.length > 0) stdout.write(`${lines.join("\n")}\n`);
}

/** Prints a line for each id that no message has. @returns the exit status */
export function printUnknown({ stderr }: Context, unknown: readonly string[]): number {
  for (const id of unknown) stderr.write(`postern: no message has the id ${printable(id)}\n`);
  return unknown.length > 0 ? 1 : 0;
}

/** On a terminal with fewer columns each message has its reason on a line of its own: in the table a few letters were left. */
const narrowBelow = 100;

/**
 * A table of messages in any number of parts.
 * @param sought  a part of what the list was asked for: the recipient that has it comes first
 */
export function startList(output: Output, nowMs: number, sought = ""): (rows: readonly Row[]) => string[] {
  const width = tableWidth(output);
  const isNarrow = width < narrowBelow;
  const columns = listColumns(output, nowMs, sought);
  let table: ReturnType<typeof startTable<Row>> | undefined;
  const withReasons = (lines: readonly string[], rows: readonly Row[]): string[] =>
    lines.flatMap((line, index) => {
      const reason = printable(withoutHost(rows[index]?.reason ?? ""));
      return reason === "" ? [line] : [line, paint(output, "dim", `  ${truncate(reason, width - 2)}`)];
    });
  return (rows) => {
    if (table !== undefined) return isNarrow ? withReasons(table.more(rows), rows) : table.more(rows);
    table = startTable(isNarrow ? columns.slice(0, -1) : columns, rows, width);
    const [heading = "", ...lines] = table.lines;
    return isNarrow ? [heading, ...withReasons(lines, rows)] : table.lines;
  };
}

function listColumns(output: Output, nowMs: number, sought: string): Column<Row>[] {
  return [
    { title: "ID", value: ({ id }) => id },
    {
      title: "STATUS",
      value: ({ status }) => status,
      style: ({ status }, cell) =>
        status in statusStyles ? paint(output, statusStyles[status] ?? [], cell) : cell,
    },
    { title: "AGE", value: ({ receivedAt }) => shortAge(nowMs - Date.parse(receivedAt)), align: "right" },
    { title: "TRIES", value: ({ attempts }) => String(attempts), align: "right" },
    { title: "NEXT", value: ({ nextAttemptAt }) => nextAttempt(nextAttemptAt, nowMs), align: "right" },
    { title: "FROM", value: ({ from }) => from || "<>", shrinkTo: 6 },
    { title: "TO", value: (row) => recipients(row, sought), shrinkTo: 8 },
    { title: "REASON", value: ({ reason }) => withoutHost(reason ?? ""), shrinkTo: 12 },
  ];
}

const statusStyles: Record<string, Style> = { active: "green", held: "yellow", dead: "red" };

/** `3 messages: 2 deferred, 1 held` */
export function countLine(byStatus: ReadonlyMap<string, number>): string {
  const all = [...byStatus.values()].reduce((sum, count) => sum + count, 0);
  if (all === 0) return "no messages";
  const parts = [...byStatus].map(([status, count]) => `${count} ${status}`);
  return `${all} ${all === 1 ? "message" : "messages"}: ${parts.join(", ")}`;
}

/** One recipient: the one that was asked for, else one that the reason is about; the others may have the message. */
function recipients({ to, reason }: Pick<Row, "to" | "reason">, sought: string): string {
  const wanted = sought.toLowerCase().replaceAll("*", "");
  const why = (reason ?? "").toLowerCase();
  const shown =
    to.find((address) => wanted !== "" && address.toLowerCase().includes(wanted)) ??
    to.find((address) => why.includes(address.toLowerCase())) ??
    to[0] ??
    "";
  return to.length <= 1 ? shown : `${shown} +${to.length - 1}`;
}

/** What the server said, without its name: `queue show` has it. */
function withoutHost(reason: string): string {
  return reason.replace(/^\S+(?: \[[^\]\s]+\])? said: (?=\d{3})/, "");
}

/** With the largest unit only. */
function shortAge(ms: number): string {
  return age(ms).split(" ")[0] ?? "";
}

function nextAttempt(at: string | null, nowMs: number): string {
  if (at === null) return "-";
  const inMs = Date.parse(at) - nowMs;
  return inMs <= 0 ? "now" : shortAge(inMs);
}

/** @param width  of the terminal, at which values are wrapped; absent: they are not */
export function renderDetail(detail: Detail, nowMs: number, width?: number): string[] {
  const lines = detailLines(detail, nowMs).flatMap((line) =>
    width === undefined ? [line] : wrapped(line, width),
  );
  if (detail.headers === null) return [...lines, "", "  (the header needs a token with the scope content)"];
  const headers = detail.headers.split(/\r?\n/).filter((line) => line !== "");
  return [...lines, "", ...headers.map((line) => `  ${printable(line.replaceAll("\t", " "))}`)];
}

/** Where the values stand. */
const valueAt = 15;

function wrapped(line: string, width: number): string[] {
  if (displayWidth(line) <= width) return [line];
  const [first = "", ...rest] = wrap(line.slice(valueAt), Math.max(20, width - valueAt));
  return [line.slice(0, valueAt) + first, ...rest.map((each) => " ".repeat(valueAt) + each)];
}

function detailLines(detail: Detail, nowMs: number): string[] {
  const lines = [
    detail.id,
    field("Message-ID", detail.messageId ?? "none"),
    field("Received", `${detail.receivedAt}, ${age(nowMs - Date.parse(detail.receivedAt))} ago`),
    field("Size", `${detail.size} octets`),
    field("From", `<${detail.envelope.from}>`),
    field("Client", origin(detail.origin)),
  ];
  const parameters = envelopeParameters(detail.envelope);
  if (parameters !== "") lines.push(field("Parameters", parameters));
  for (const { address, state, diagnosis } of detail.recipients) {
    lines.push(field("To", `<${address}> ${state}`));
    if (diagnosis !== undefined) lines.push(...describeDiagnosis(diagnosis));
  }
  if (detail.jobs.length === 0) lines.push(field("Job", "none in the queues"));
  for (const job of detail.jobs) {
    const tries = `${job.attempts} ${job.attempts === 1 ? "attempt" : "attempts"}`;
    const next =
      job.nextAttemptAt === null
        ? ""
        : `, next at ${job.nextAttemptAt} (${nextAttempt(job.nextAttemptAt, nowMs)})`;
    lines.push(field("Job", `${job.id} ${job.status} in ${job.queue}, ${tries}${next}`));
    if (job.givesUpAt !== null)
      lines.push(field("Gives up", `${job.givesUpAt} ${whenText(job.givesUpAt, nowMs)}`));
    lines.push(field("Route", job.route));
    if (job.hold !== null) {
      const { kind, value, reason, until } = job.hold;
      const end = until === null ? "" : `, until ${until}`;
      lines.push(field("Hold", `${kind} ${value}${reason === "" ? "" : `: ${reason}`}${end}`));
    } else if (job.status === "dead") lines.push(field("Reason", job.reason ?? ""));
  }
  return [...lines, ...describeHistory(detail)];
}

function whenText(at: string, nowMs: number): string {
  const ms = Date.parse(at) - nowMs;
  return ms <= 0 ? "(at the next attempt)" : `(in ${age(ms)})`;
}

/** A message that has waited for days has had hundreds. */
const attemptsShown = 10;

function describeHistory({ id, attempts, notifications }: Detail): string[] {
  const lines = attempts.slice(-attemptsShown).flatMap(describeAttempt);
  const earlier = attempts.length - attemptsShown;
  if (earlier > 0) lines.unshift(field("Attempts", `${earlier} earlier ones: postern trace ${id}`));
  for (const { at, id: dsnId, kind, to } of notifications)
    lines.push(field("Notified", `<${to}> at ${at} (${kind}), by ${dsnId}`));
  return lines;
}

function describeAttempt(attempt: Detail["attempts"][number]): string[] {
  const { at, attempt: number, to, outcome, remote, reason, reply, tls, ms } = attempt;
  const where = remote === undefined ? "" : ` by ${remote}`;
  const took = ms === undefined ? "" : `, ${ms} ms`;
  const secured = tls === undefined ? "" : `, TLS ${tls}`;
  return [
    field(`Attempt ${number}`, `${at} <${to}> ${outcome}${where}${took}${secured}`),
    field("", reply ?? reason ?? ""),
  ];
}

/** @param name  empty for a continuation of the line above */
function field(name: string, value: string): string {
  return `  ${(name === "" ? "" : `${name}:`).padEnd(12)} ${printable(value)}`.trimEnd();
}

function origin(from: Detail["origin"]): string {
  if (from === null) return "the gateway itself";
  const { client, destination, direction, listener, helo, protocol, user } = from;
  const login = user === undefined ? "" : `, user ${user}`;
  return `${formatEndpoint(client)} (${helo || "no HELO"}, ${protocol}${login}), ${direction} to ${formatEndpoint(destination)} by listener ${listener}`;
}

function envelopeParameters({ from: _, ...parameters }: Detail["envelope"]): string {
  return Object.entries(parameters)
    .map(([name, value]) => (value === true ? name.toUpperCase() : `${name.toUpperCase()}=${String(value)}`))
    .join(" ");
}

function describeDiagnosis(diagnosis: NonNullable<Detail["recipients"][number]["diagnosis"]>): string[] {
  const { status, reason, reply, remote, at } = diagnosis;
  const isRepeated = reply !== undefined && remote !== undefined && /^\S+( \[\S+\])? said: /.test(reason);
  const lines = [field("", isRepeated ? `${status} at ${at}` : `${status} ${reason} (${at})`)];
  if (reply !== undefined) {
    const server = remote === undefined ? "" : `${remote.host} [${remote.address}]:${remote.port} `;
    const enhanced = reply.enhanced === undefined ? "" : `${reply.enhanced} `;
    lines.push(
      field("", `${server}answered ${reply.command}: ${reply.code} ${enhanced}${reply.lines.join(" ")}`),
    );
  }
  return lines;
}

/** One line with the number of changed messages, and one for each message that was not changed. */
export function renderReport(done: string, report: Report, action = ""): string[] {
  const { matched, changed, skipped, underWay = [], rule } = report;
  const isNone = matched === 0 && skipped.length === 0;
  const later = done.startsWith("would") ? "would be held" : "are held";
  const lines = isNone
    ? [rule ? "no message matches now" : "no message matches"]
    : [`${done} ${changed} of ${matched}`];
  if (rule) lines.push(`messages that come later ${later} too, by the rule ${rule}`);
  for (const { id, reason } of skipped) lines.push(`${id} ${reason}`);
  const after = action === "reroute" ? "its next attempt goes the new way" : "that attempt is its last";
  for (const id of underWay) lines.push(`${id} is being delivered; ${after}`);
  return lines.map(printable);
}
