/** The screen of `postern top`: is it well, rates, mail by status and what changed, destinations, reasons. Pure. */
import { age } from "../../../shared/age.ts";
import type { Output } from "../command-line/command.ts";
import { paint } from "../command-line/paint.ts";
import { printable, renderTable, truncate } from "../command-line/table.ts";
import type { Status } from "../overview/status-answer.ts";
import { stateLines } from "../overview/status-view.ts";

/** What the admin says at one moment. */
export interface Moment {
  status: Pick<
    Status,
    "ok" | "reasons" | "warnings" | "at" | "services" | "rates" | "oldestSeconds" | "next"
  >;
  /** Mail by status; `undefined` when the queues are not known. */
  counts: ReadonlyMap<string, number> | undefined;
  /** The largest groups; `undefined` when the queues are not known. */
  destinations: Group[] | undefined;
  reasons: Group[] | undefined;
}

export interface Group {
  key: string;
  messages: number;
  held: number;
  oldestAt: string;
}

const statuses = ["waiting", "active", "deferred", "held", "dead"];
/** Reasons and warnings, before they would push the figures off the screen. */
const whyShown = 3;

/**
 * Lines of at most `width` cells, and `height` of them at most.
 * @param before  the moment of the screen before, for what changed
 */
export function renderTop(
  output: Output,
  now: Moment,
  before: Moment | undefined,
  { width, height }: { width: number; height: number },
): string[] {
  const { status } = now;
  const nowMs = Date.parse(status.at);
  const head = [
    truncate(`postern top  ${status.at.slice(0, 19)}Z  q ends it`, width),
    ...stateOf(output, status, width),
    truncate(rateLine(status.rates), width),
    truncate(countLine(now, before), width),
    ...status.next
      .slice(0, 1)
      .map(({ text, command }) => truncate(printable(`Next      ${command ?? text}`), width)),
  ];
  // Two tables, each with an empty line and a heading.
  const room = Math.max(1, Math.floor((height - head.length - 4) / 2));
  const lines = [
    ...head,
    "",
    ...groupTable("DESTINATION", now.destinations, nowMs, width, room),
    "",
    ...groupTable("REASON", now.reasons, nowMs, width, room),
  ];
  return lines.slice(0, height);
}

/** As `postern status` begins; then how many services are ready. */
function stateOf(output: Output, status: Moment["status"], width: number): string[] {
  const [first = "", ...why] = stateLines(status);
  const ready = status.services.filter(({ state }) => state === "ready").length;
  const services = `${ready} of ${status.services.length} services ready`;
  const shown = why.length > whyShown ? [...why.slice(0, whyShown - 1), moreLine(why)] : why;
  return [
    paint(output, status.ok ? "green" : "red", truncate(`${first}  ${services}`, width)),
    ...shown.map((line) => paint(output, status.ok ? "yellow" : "red", truncate(line, width))),
  ];
}

function moreLine(why: readonly string[]): string {
  return `  and ${why.length - whyShown + 1} more: postern status`;
}

/** `A minute  12 accepted  11 delivered  0.5 deferred  0 bounced`; what is rarer only when there is any. */
function rateLine(rates: Status["rates"]): string {
  if (rates === null) return "A minute  not known";
  const { accepted, delivered, deferred, bounced, refused, proxied } = rates["1m"];
  const always = [
    `${accepted} accepted`,
    `${delivered} delivered`,
    `${deferred} deferred`,
    `${bounced} bounced`,
  ];
  const others = [
    ...(proxied === 0 ? [] : [`${proxied} proxied`]),
    ...(refused === 0 ? [] : [`${refused} refused`]),
  ];
  return `A minute  ${[...always, ...others].join("  ")}`;
}

/** `Mail      12 waiting (+3)  1 active  200 deferred (-4)`; the oldest message. */
function countLine({ counts, status: { oldestSeconds } }: Moment, before: Moment | undefined): string {
  if (counts === undefined) return "Mail      not known";
  const parts = statuses.map((status) => {
    const count = counts.get(status) ?? 0;
    const change = before?.counts === undefined ? 0 : count - (before.counts.get(status) ?? 0);
    return `${count} ${status}${change === 0 ? "" : ` (${change > 0 ? "+" : ""}${change})`}`;
  });
  const oldest = oldestSeconds === null ? "" : `  oldest ${age(oldestSeconds * 1000)}`;
  return `Mail      ${parts.join("  ")}${oldest}`;
}

function groupTable(
  title: string,
  groups: readonly Group[] | undefined,
  nowMs: number,
  width: number,
  room: number,
): string[] {
  if (groups === undefined) return [`${title}  not known`];
  return renderTable<Group>(
    [
      { title: "MESSAGES", value: ({ messages }) => String(messages), align: "right" },
      { title: "HELD", value: ({ held }) => String(held), align: "right" },
      { title: "OLDEST", value: ({ oldestAt }) => age(nowMs - Date.parse(oldestAt)), align: "right" },
      { title, value: ({ key }) => key || "-", shrinkTo: 10 },
    ],
    groups.slice(0, room),
    width,
  );
}
