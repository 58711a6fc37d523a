/** Which messages a `postern queue` command is about: ids, or the filters of list. Pure. */
import { duration } from "../../../shared/config/values.ts";
import { UsageError } from "../command-line/args.ts";

/** The filters of the admin API, as its query and bodies take them. */
export interface QueueFilter {
  to?: string;
  from?: string;
  route?: string;
  older?: string;
  status?: string;
  error?: string;
  queue?: string;
  messageId?: string;
}

export type Target =
  | { kind: "ids"; ids: string[] }
  | { kind: "filter"; filter: QueueFilter }
  | { kind: "all" };

const statuses = ["waiting", "active", "deferred", "held", "dead"];
const queues = ["delivery", "delivery-slow", "dead"];

export const filterOptions = {
  to: { type: "string", value: "PATTERN", help: "a recipient: user@example.com, '*@example.com'" },
  from: { type: "string", value: "PATTERN", help: "the sender; '<>' is the null sender" },
  route: { type: "string", value: "TEXT", help: "a part of the route" },
  older: { type: "string", value: "DURATION", help: "received at least so long ago: 30m, 2h, 5d" },
  status: { type: "string", value: "STATUS", help: statuses.join(", ") },
  error: { type: "string", value: "TEXT", help: "a part of the last reason" },
  queue: { type: "string", value: "NAME", help: queues.join(", ") },
  all: { type: "boolean", help: "all messages" },
} as const;

export const targetUsage = "ID...|FILTERS|--all";
/** An ID is that of `queue list`, the queue id that the client was told, or a <Message-ID>. */
export const manyIds = { min: 0, max: 10_000 };

type FilterValues = { [K in Exclude<keyof QueueFilter, "messageId">]: string | undefined } & { all: boolean };

/** @throws UsageError when it is not clear which messages are meant: nothing is ever changed by accident */
export function readTarget(values: FilterValues, ids: string[]): Target {
  const filter = readFilter(values);
  const filtered = Object.keys(filter).length > 0;
  if (ids.length > 0) {
    if (filtered || values.all) throw new UsageError("takes ids or filters, not both");
    return { kind: "ids", ids };
  }
  // --all beside filters says nothing more than the filters do.
  if (filtered) return { kind: "filter", filter };
  if (values.all) return { kind: "all" };
  throw new UsageError("needs to know which messages: ids, filters, or --all");
}

/** @throws UsageError */
export function readFilter(values: Omit<FilterValues, "all">): QueueFilter {
  const filter: QueueFilter = {};
  for (const name of ["to", "from", "route", "older", "status", "error", "queue"] as const) {
    const value = values[name];
    if (value === undefined) continue;
    if (value === "") throw new UsageError(`needs a value for --${name}`);
    filter[name] = value;
  }
  if (filter.older !== undefined && !duration.safeParse(filter.older).success) {
    throw new UsageError(`needs a duration for --older such as 30m, 2h or 5d, not '${filter.older}'`);
  }
  mustBeOneOf("status", filter.status, statuses);
  mustBeOneOf("queue", filter.queue, queues);
  return filter;
}

function mustBeOneOf(name: string, value: string | undefined, known: readonly string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw new UsageError(`knows no ${name} '${value}', only: ${known.join(", ")}`);
}

/** What the admin's API takes. */
export function selectionOf(target: Target): Record<string, unknown> {
  switch (target.kind) {
    case "ids":
      return { ids: target.ids };
    case "filter":
      return { filter: target.filter };
    case "all":
      return { all: true };
  }
}

/** A day, or a time in it; without a zone it is of this machine. */
const isoTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * When a hold ends.
 * @param value  a duration from now, or a time to come as ISO 8601 writes it
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
  if (atMs <= nowMs) throw new UsageError(`needs a time to come for --until, not '${value}'`);
  return new Date(atMs).toISOString();
}
