/** The messages that a `postern queue` command selects: by ids, by filters, or all. Pure. */
import { duration } from "../../../shared/config/values.ts";
import { whyMatchesNothing } from "../../../shared/queue/holds/pattern.ts";
import { UsageError } from "../command-line/command.ts";

/** The filters of the admin API, in queries and bodies. */
export interface QueueFilter {
  to?: string;
  from?: string;
  route?: string;
  older?: string;
  status?: string;
  error?: string;
  queue?: string;
  search?: string;
  messageId?: string;
}

export type Selection =
  | { kind: "ids"; ids: string[] }
  | { kind: "filter"; filter: QueueFilter }
  | { kind: "all" };

const statuses = ["waiting", "active", "deferred", "held", "dead"];
const queues = ["delivery", "delivery-slow", "dead"];

export const filterOptions = {
  to: { type: "string", value: "PATTERN", help: "a recipient: user@example.com, '*@example.com'" },
  from: { type: "string", value: "PATTERN", help: "the sender; '<>' is the null sender" },
  route: { type: "string", value: "TEXT", help: "a part of the route" },
  older: { type: "string", value: "DURATION", help: "received at least this long ago: 30m, 2h, 5d" },
  status: { type: "string", value: "STATUS", choices: statuses, help: statuses.join(", ") },
  error: { type: "string", value: "TEXT", help: "a part of the last reason" },
  queue: { type: "string", value: "NAME", choices: queues, help: queues.join(", ") },
  search: {
    type: "string",
    value: "TEXT",
    help: "a part of an address, the Message-ID, the id, the route or the reasons; the Subject is not searched",
  },
  all: { type: "boolean", help: "all messages" },
} as const;

export const jsonOption = { type: "boolean", help: "print JSON" } as const;

export const selectionUsage = "ID...|FILTERS|--all";
/** Ids are job ids as `queue list` shows them, queue ids that clients got with their 250, or <Message-ID>s. */
export const manyIds = { min: 0, max: 10_000 };

type FilterValues = { [K in Exclude<keyof QueueFilter, "messageId">]: string | undefined } & { all: boolean };

/** @throws UsageError unless exactly one kind of selection is given, so that nothing is changed by accident */
export function readSelection(values: FilterValues, ids: string[]): Selection {
  const filter = readFilter(values);
  const filtered = Object.keys(filter).length > 0;
  if (ids.length > 0) {
    if (filtered || values.all) throw new UsageError("takes ids or filters, not both");
    return { kind: "ids", ids };
  }
  // --all beside filters adds nothing.
  if (filtered) return { kind: "filter", filter };
  if (values.all) return { kind: "all" };
  throw new UsageError("needs to know which messages: ids, filters, or --all");
}

/** @throws UsageError */
export function readFilter(values: Omit<FilterValues, "all">): QueueFilter {
  const filter: QueueFilter = {};
  for (const name of ["to", "from", "route", "older", "status", "error", "queue", "search"] as const) {
    const value = values[name];
    if (value === undefined) continue;
    if (value === "") throw new UsageError(`needs a value for --${name}`);
    filter[name] = value;
  }
  if (filter.older !== undefined && !duration.safeParse(filter.older).success) {
    throw new UsageError(`needs a duration for --older such as 30m, 2h or 5d, not '${filter.older}'`);
  }
  for (const name of ["to", "from"] as const) {
    const why = filter[name] === undefined ? undefined : whyMatchesNothing(filter[name]);
    if (why !== undefined) throw new UsageError(`needs an address or a pattern for --${name}: ${why}`);
  }
  return filter;
}

/** The selection in a request body of the admin API. */
export function selectionBody(selection: Selection): Record<string, unknown> {
  switch (selection.kind) {
    case "ids":
      return { ids: selection.ids };
    case "filter":
      return { filter: selection.filter };
    case "all":
      return { all: true };
  }
}

/** A date with or without a time; without a zone it is local time. */
const isoTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * The end of a hold.
 * @param value  a duration from now, or a time in the future in ISO 8601
 * @throws UsageError
 */
export function readUntil(value: string, nowMs: number): string {
  const inMs = duration.safeParse(value);
  const atMs = inMs.success ? nowMs + inMs.data : isoTime.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(atMs)) {
    throw new UsageError(
      `needs a duration such as 2h or a time such as 2026-12-01T08:00 for --until, not '${value}'`,
    );
  }
  if (atMs <= nowMs) throw new UsageError(`needs a time in the future for --until, not '${value}'`);
  return new Date(atMs).toISOString();
}
