/** The screen of `postern top`: services, mail by status and what changed, destinations, reasons. Pure. */
import { age } from "../../../shared/age.ts";
import type { Output } from "../command-line/command.ts";
import { paint } from "../command-line/paint.ts";
import { printable, renderTable, truncate } from "../command-line/table.ts";

/** What the admin says at one moment. */
export interface Moment {
  atMs: number;
  services: { name: string; ready: boolean; reasons: string[] }[];
  /** Jobs by status, of all queues. */
  counts: ReadonlyMap<string, number>;
  oldestSeconds: number | null;
  destinations: Group[];
  reasons: Group[];
}

export interface Group {
  key: string;
  messages: number;
  held: number;
  oldestAt: string;
}

const statuses = ["waiting", "active", "deferred", "held", "dead"];

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
  const room = Math.max(1, Math.floor((height - 8) / 2));
  const lines = [
    truncate(`postern top  ${new Date(now.atMs).toISOString().slice(0, 19)}Z  Ctrl-C ends it`, width),
    serviceLine(output, now, width),
    truncate(countLine(now, before), width),
    "",
    ...groupTable("DESTINATION", now.destinations, now.atMs, width, room),
    "",
    ...groupTable("REASON", now.reasons, now.atMs, width, room),
  ];
  return lines.slice(0, height);
}

function serviceLine(output: Output, { services }: Moment, width: number): string {
  const bad = services.filter(({ ready }) => !ready);
  if (services.length === 0) return paint(output, "red", truncate("no service has announced itself", width));
  if (bad.length === 0)
    return paint(output, "green", truncate(`${services.length} services, all ready`, width));
  const [{ name = "", reasons = [] } = {}] = bad;
  const text = `${bad.length} of ${services.length} services are not ready: ${name}: ${reasons[0] ?? "no reason given"}`;
  return paint(output, "red", truncate(printable(text), width));
}

/** `12 waiting (+3)  1 active  200 deferred (-4)`; the oldest message. */
function countLine({ counts, oldestSeconds }: Moment, before: Moment | undefined): string {
  const parts = statuses.map((status) => {
    const count = counts.get(status) ?? 0;
    const change = before === undefined ? 0 : count - (before.counts.get(status) ?? 0);
    return `${count} ${status}${change === 0 ? "" : ` (${change > 0 ? "+" : ""}${change})`}`;
  });
  const oldest = oldestSeconds === null ? "" : `  oldest ${age(oldestSeconds * 1000)}`;
  return parts.join("  ") + oldest;
}

function groupTable(
  title: string,
  groups: readonly Group[],
  nowMs: number,
  width: number,
  room: number,
): string[] {
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
