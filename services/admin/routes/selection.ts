/** Converts the selections and filters of the API to those of the queues. Pure. */
import type { JobSelection } from "../../../shared/queue/operator/inspector.ts";
import type { JobFilter } from "../../../shared/queue/operator/rows.ts";
import type { Filter, Selection } from "./schemas.ts";

export function toJobFilter({ older, ...filter }: Filter): JobFilter {
  const given: JobFilter = {};
  for (const [name, value] of Object.entries(filter)) {
    if (value !== undefined) Object.assign(given, { [name]: value });
  }
  if (older !== undefined) given.olderMs = older;
  return given;
}

export function toJobSelection({ ids, filter }: Selection): JobSelection {
  if (ids !== undefined) return { ids: [...new Set(ids)] };
  return { filter: filter === undefined ? {} : toJobFilter(filter) };
}

/** For the log, with at most twenty ids. */
export function describeSelection({ ids, filter }: Selection): Record<string, unknown> {
  if (ids !== undefined) {
    return ids.length > 20 ? { ids: ids.slice(0, 20), more: ids.length - 20 } : { ids };
  }
  return filter === undefined ? { all: true } : { filter };
}
