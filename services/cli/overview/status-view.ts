/** The status of the gateway as lines for a terminal. Pure. */
import { age } from "../../../shared/age.ts";
import { type Column, printable, renderTable } from "../command-line/table.ts";
import type { Rate, Status } from "./status-answer.ts";

type Service = Status["services"][number];
type Queue = NonNullable<Status["queues"]>[number];

/** @param width  columns of the terminal */
export function renderStatus(status: Status, width: number): string[] {
  const nowMs = Date.parse(status.at);
  return [
    ...stateLines(status),
    "",
    ...renderTable(serviceColumns(nowMs), status.services, width),
    "",
    ...resourceLines(status),
    "",
    ...rateLines(status, width),
    ...sessionLines(status, width),
    "",
    ...queueLines(status, width),
    ...worstLines(status, nowMs, width),
    "",
    ...nextLines(status, width),
  ];
}

/** Whether it is well, then why not and what needs an operator. */
export function stateLines({ ok, reasons, warnings }: Pick<Status, "ok" | "reasons" | "warnings">): string[] {
  const head = ok ? "OK: mail is accepted, delivered and returned." : "NOT OK";
  const lines = [...reasons, ...warnings.map((warning) => `warning: ${warning}`)];
  return [head, ...lines.map((line) => `  ${printable(line)}`)];
}

function serviceColumns(nowMs: number): Column<Service>[] {
  return [
    { title: "SERVICE", value: ({ name }) => name },
    { title: "STATE", value: ({ state }) => state },
    { title: "UP", value: (service) => upSince(service, nowMs), align: "right" },
    { title: "PID", value: ({ pid }) => (pid === null ? "-" : String(pid)), align: "right" },
    { title: "HOST", value: ({ host }) => host ?? "-", shrinkTo: 10 },
    { title: "VERSION", value: ({ version }) => version ?? "-" },
  ];
}

function upSince({ state, startedAt }: Service, nowMs: number): string {
  return startedAt === null || state === "ended" ? "-" : age(nowMs - Date.parse(startedAt));
}

function resourceLines({ redis, disk }: Status): string[] {
  const { usedBytes, maxBytes, latencyMs } = redis;
  const limit = maxBytes === null ? "" : ` of ${octets(maxBytes)}`;
  const used =
    usedBytes === null ? "does not answer" : `${octets(usedBytes)}${limit}, answers in ${latencyMs} ms`;
  const space =
    disk === null
      ? "cannot be read"
      : `${octets(disk.usedBytes)} of mail, ${disk.freeBytes === null ? "unlimited" : octets(disk.freeBytes)} free`;
  return [`Redis   ${redis.ok ? used : `not ok, ${used}`}`, `Spool   ${space}`];
}

function rateLines({ rates }: Status, width: number): string[] {
  if (rates === null) return ["Rates   not known"];
  const rows = (["1m", "5m", "15m"] as const).map((over) => ({ over, rate: rates[over] }));
  const column = (title: keyof Rate): Column<(typeof rows)[number]> => ({
    title: title.toUpperCase(),
    value: ({ rate }) => String(rate[title]),
    align: "right",
  });
  const columns: Column<(typeof rows)[number]>[] = [
    { title: "A MINUTE", value: ({ over }) => `last ${over}` },
    ...(["accepted", "delivered", "deferred", "bounced", "refused", "proxied"] as const).map(column),
  ];
  return renderTable(columns, rows, width);
}

/** `Sessions a minute: 12 client-server, 3 to-protected; 4 opaque (TLS)`, of the last five minutes. */
function sessionLines({ sessions }: Status, width: number): string[] {
  const { opaque = 0, ...rows } = sessions ?? {};
  const parts = Object.entries(rows).sort(([, a], [, b]) => b - a);
  if (parts.length === 0) return [];
  const unread = opaque === 0 ? "" : `; ${opaque} of them opaque (TLS)`;
  const text = `Sessions a minute: ${parts.map(([row, count]) => `${count} ${row}`).join(", ")}${unread}`;
  return wrap(printable(text), width);
}

function queueLines({ queues }: Status, width: number): string[] {
  if (queues === null) return ["Queues  not known"];
  const count = (title: "waiting" | "active" | "deferred" | "held" | "dead"): Column<Queue> => ({
    title: title.toUpperCase(),
    value: (queue) => String(queue[title]),
    align: "right",
  });
  const columns: Column<Queue>[] = [
    { title: "QUEUE", value: ({ name }) => name },
    ...(["waiting", "active", "deferred", "held", "dead"] as const).map(count),
    {
      title: "OLDEST",
      value: ({ oldestSeconds }) => (oldestSeconds === null ? "-" : age(oldestSeconds * 1000)),
      align: "right",
    },
  ];
  return renderTable(columns, queues, width);
}

function worstLines({ worst }: Status, nowMs: number, width: number): string[] {
  if (worst.length === 0) return [];
  const columns: Column<Status["worst"][number]>[] = [
    { title: "DEFERRED FOR", value: ({ destination }) => destination, shrinkTo: 16 },
    { title: "MAIL", value: ({ messages }) => String(messages), align: "right" },
    { title: "OLDEST", value: ({ oldestAt }) => age(nowMs - Date.parse(oldestAt)), align: "right" },
    { title: "REASON", value: ({ reason }) => replyWords(reason), shrinkTo: 20 },
  ];
  return ["", ...renderTable(columns, worst, width)];
}

/** `450 4.2.1 Mailbox full`: code and words, no host. */
export function replyWords(reason: { code: number | null; status: string | null; text: string }): string {
  return [reason.code, reason.status, reason.text].filter((part) => part !== null && part !== "").join(" ");
}

function nextLines({ next }: Status, width: number): string[] {
  if (next.length === 0) return ["Nothing to do."];
  return next.flatMap(({ text, command }, index) => [
    ...wrap(`${index === 0 ? "Next: " : "Then: "}${printable(text)}`, width),
    ...(command === null ? [] : [`      ${printable(command)}`]),
  ]);
}

/** Continuation lines stand under the text. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `      ${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function octets(count: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  let value = count;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
