/** The orders in which operators list jobs. Pure. */
import { queueIdTimeMs } from "../../mail/queue-id.ts";
import type { JobPlace } from "../bullmq/job-places.ts";
import type { QueueRow } from "./rows.ts";

/** `next`: by the next attempt, those that wait for a worker first, held and dead ones last. */
export const rowSorts = ["oldest", "newest", "next", "attempts", "largest"] as const;
export type RowSort = (typeof rowSorts)[number];

/** Where a row stands in the order: ascending, then by job id. */
export interface RowKey {
  key: number;
  id: string;
}

/** By the place alone, without the payload; `undefined` where the payload decides. */
export function placeKey(sort: RowSort, { jobId, status, dueAtMs }: JobPlace): number | undefined {
  switch (sort) {
    case "oldest":
      return queueIdTimeMs(jobId);
    case "newest":
      return -queueIdTimeMs(jobId);
    case "next":
      return nextKey(status, dueAtMs);
    case "attempts":
    case "largest":
      return undefined;
  }
}

export function rowKey(sort: RowSort, row: QueueRow): number {
  switch (sort) {
    case "oldest":
      return queueIdTimeMs(row.id);
    case "newest":
      return -queueIdTimeMs(row.id);
    case "next":
      return nextKey(row.status, row.nextAttemptAt === null ? undefined : Date.parse(row.nextAttemptAt));
    case "attempts":
      return -row.attempts;
    case "largest":
      return -row.size;
  }
}

const never = Number.MAX_SAFE_INTEGER;

function nextKey(status: QueueRow["status"], dueAtMs: number | undefined): number {
  return dueAtMs ?? (status === "held" || status === "dead" ? never : 0);
}

export function compareKeys(a: RowKey, b: RowKey): number {
  return a.key - b.key || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

export function cursorAfter({ key, id }: RowKey): string {
  return `${key}~${id}`;
}

/** @returns `undefined` when it is not a cursor of a sorted list */
export function parseCursor(cursor: string): RowKey | undefined {
  const [, key, id] = /^(-?\d{1,16})~([\w-]{1,64})$/.exec(cursor) ?? [];
  return key === undefined || id === undefined ? undefined : { key: Number(key), id };
}
