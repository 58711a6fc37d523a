/** Renders timelines for a terminal: a section for each message, with its notifications, oldest first. Pure. */
import { age } from "../../../shared/age.ts";
import type { Output } from "../command-line/command.ts";
import { paint, type Style } from "../command-line/paint.ts";
import { printable } from "../command-line/table.ts";
import { formatCount, wrap } from "../command-line/wrap.ts";

export interface TraceEvent {
  /** ISO 8601. */
  at: string;
  event: string;
  id?: string | undefined;
  label: string;
  text: string;
  [field: string]: unknown;
}

export interface Trace {
  messages: string[];
  /** Earlier messages that are left out. */
  more: number;
  events: TraceEvent[];
  queued: { id: string; status: string; nextAttemptAt: string | null; to: string[] }[];
}

const labelWidth = 11;
/** Two spaces, `HH:MM:SS`, two spaces, the label, a space. */
const indent = 2 + 8 + 2 + labelWidth + 1;

/** @param width  columns of the terminal */
export function renderTrace(
  trace: Trace,
  nowMs: number,
  width: number,
  output: Pick<Output, "hasColors">,
): string[] {
  const lines: string[] = [];
  if (trace.more > 0) lines.push(`${formatCount(trace.more, "earlier message")} left out: see --limit`, "");
  for (const [index, section] of sectionsOf(trace).entries()) {
    if (index > 0) lines.push("");
    lines.push(...renderSection(section, trace, nowMs, width, output));
  }
  return lines;
}

interface Section {
  /** A queue id; for what no queue had, the session's id. */
  id: string;
  events: TraceEvent[];
}

/** Events of notifications stand with the message that they are about. */
function sectionsOf({ messages, events }: Trace): Section[] {
  const original = new Map<string, string>();
  for (const { event, id, dsnId } of events)
    if (event === "dsn.made" && id !== undefined && typeof dsnId === "string" && !messages.includes(dsnId))
      original.set(dsnId, id);
  const rootOf = (id: string): string => {
    let root = id;
    for (let depth = 0; depth < 5 && original.has(root); depth++) root = original.get(root) ?? root;
    return root;
  };
  const sections = new Map<string, Section>();
  const add = (id: string, event: TraceEvent): void => {
    const section = sections.get(id) ?? { id, events: [] };
    sections.set(id, section);
    section.events.push(event);
  };
  const messagesBySession = new Map<string, Set<string>>();
  for (const { event, session, id } of events)
    if (event === "message.accepted" && typeof session === "string" && id !== undefined)
      messagesBySession.set(session, (messagesBySession.get(session) ?? new Set()).add(id));
  for (const event of events) {
    const ids = Array.isArray(event.ids)
      ? messages.filter((id) => (event.ids as unknown[]).includes(id))
      : [];
    const accepted =
      event.event === "session.classified" ? messagesBySession.get(String(event.session)) : undefined;
    if (accepted !== undefined) for (const id of accepted) add(rootOf(id), event);
    else if (ids.length > 0) for (const id of ids) add(rootOf(id), event);
    // What was asked for by the notification's own id stands in its section.
    else if (
      event.event === "dsn.made" &&
      messages.includes(String(event.dsnId)) &&
      !messages.includes(event.id ?? "")
    )
      add(String(event.dsnId), event);
    else add(rootOf(event.id ?? ""), event);
  }
  return [...sections.values()];
}

function renderSection(
  { id, events }: Section,
  { queued }: Trace,
  nowMs: number,
  width: number,
  output: Pick<Output, "hasColors">,
): string[] {
  const lines = [paint(output, "bold", printable(id))];
  const accepted = events.find(({ event, id: own }) => event === "message.accepted" && own === id);
  if (accepted !== undefined) {
    lines.push(...field("Message-ID", printable(String(accepted.messageId ?? "none")), width));
    lines.push(...field("From", printable(path(accepted.from)), width));
    lines.push(...field("To", printable(recipients(accepted)), width));
  }
  const state = stateOf(id, events, queued, nowMs);
  if (state !== "") lines.push(...field("State", state, width));
  let day = "";
  for (const event of events) {
    const today = event.at.slice(0, 10);
    if (today !== day) lines.push(`  ${today} UTC`);
    day = today;
    lines.push(...renderEvent(event, id, width, output));
  }
  return lines;
}

function renderEvent(
  event: TraceEvent,
  section: string,
  width: number,
  output: Pick<Output, "hasColors">,
): string[] {
  // Events of a notification name it, those of the message itself need not.
  const isOwn = event.id === undefined || event.id === section || event.event === "dsn.made";
  const isOfSession = event.event === "session.classified" || Array.isArray(event.ids);
  const text = printable(isOwn || isOfSession ? event.text : `DSN ${event.id}: ${event.text}`);
  const [first = "", ...rest] = wrap(text, Math.max(width - indent, 20));
  const label = paint(output, styleOf(event), event.label.padEnd(labelWidth));
  return [
    `  ${event.at.slice(11, 19)}  ${label} ${first}`.trimEnd(),
    ...rest.map((line) => `${" ".repeat(indent)}${line}`),
  ];
}

function styleOf({ event, result }: TraceEvent): Style {
  switch (event) {
    case "delivery.delivered":
    case "message.settled":
      return "green";
    case "delivery.deferred":
    case "message.held":
      return "yellow";
    case "delivery.rejected":
    case "message.dead":
    case "message.refused":
      return "red";
    case "proxy.transaction":
      return result === "accepted" ? "green" : "red";
    default:
      return "bold";
  }
}

/** Where the message is now, and its notifications that are still in the queues. */
function stateOf(id: string, events: readonly TraceEvent[], queued: Trace["queued"], nowMs: number): string {
  const notifications = new Set(events.flatMap(({ dsnId }) => (typeof dsnId === "string" ? [dsnId] : [])));
  notifications.delete(id);
  const pending = queued.flatMap((job) => {
    const dsnId = job.id.replace(/-\d+$/, "");
    return notifications.has(dsnId) ? [`DSN ${dsnId} ${job.status}`] : [];
  });
  return [stateOfMessage(id, events, queued, nowMs), ...pending].filter((part) => part !== "").join("; ");
}

function stateOfMessage(
  id: string,
  events: readonly TraceEvent[],
  queued: Trace["queued"],
  nowMs: number,
): string {
  const own = events.filter((event) => event.id === id);
  const count = (name: string): number =>
    new Set(own.filter(({ event }) => event === name).map(({ to }) => to)).size;
  const delivered = count("delivery.delivered");
  const rejected = count("delivery.rejected");
  const jobs = queued.filter((job) => job.id.replace(/-\d+$/, "") === id);
  const ended = new Set(
    own
      .filter(({ event }) => event === "delivery.delivered" || event === "delivery.rejected")
      .map(({ to }) => to),
  );
  return [
    delivered > 0 ? `${delivered} delivered` : "",
    rejected > 0 ? `${rejected} rejected` : "",
    events.some(({ event }) => event === "message.removed") ? "removed" : "",
    count("message.dead") > 0 && jobs.length === 0 ? "dead" : "",
    ...jobs.map((job) => describeJob(job, ended, nowMs)),
  ]
    .filter((part) => part !== "")
    .join(", ");
}

/** @param ended  recipients that were delivered or rejected; put back, they are counted again */
function describeJob(
  { status, nextAttemptAt, to }: Trace["queued"][number],
  ended: ReadonlySet<unknown>,
  nowMs: number,
): string {
  const pending = to.filter((recipient) => !ended.has(recipient)).length || to.length;
  const inMs = nextAttemptAt === null ? 0 : Date.parse(nextAttemptAt) - nowMs;
  const next = status !== "deferred" ? "" : inMs > 0 ? ` (next attempt in ${age(inMs)})` : " (due now)";
  return `${pending} ${status}${next}`;
}

function recipients({ to, recipients: count }: TraceEvent): string {
  const all = Array.isArray(to) ? to.map(String) : [];
  const total = typeof count === "number" ? count : all.length;
  const shown = all.slice(0, 5);
  return `${shown.join(", ")}${total > shown.length ? ` and ${total - shown.length} more` : ""}`;
}

function path(address: unknown): string {
  return typeof address === "string" && address !== "" ? address : "<>";
}

function field(name: string, value: string, width: number): string[] {
  const [first = "", ...rest] = wrap(value, Math.max(width - 14, 20));
  return [`  ${`${name}:`.padEnd(11)} ${first}`, ...rest.map((line) => `${" ".repeat(14)}${line}`)];
}
