/** What each action on messages does. */
import type { ChangeOptions, ChangeReport, JobSelection } from "../../../shared/queue/operator/inspector.ts";
import type { EventName } from "../../../shared/runtime/log.ts";
import { holdMessages } from "./hold.ts";
import { removeMessages, requeueMessages } from "./removal.ts";
import { originalRoute, rerouteMessages } from "./reroute.ts";
import type { ChangeAction } from "./task.ts";
import type { TaskDeps } from "./task-deps.ts";

export interface TaskTerms {
  /** For people. */
  reason?: string | undefined;
  /** hold: epoch milliseconds; `null`: it does not end by itself. */
  untilMs?: number | null | undefined;
  /** hold: one that stands gets these terms. */
  replace?: boolean | undefined;
  /** reroute: as readVia() returns it. */
  via?: string | undefined;
  /** remove: the senders get a delivery status notification. */
  notify?: boolean | undefined;
}

/** What came of it; some actions have more to say than others. */
export type TaskReport = ChangeReport & { rule?: string | null; underWay?: string[] };

/** What the timeline of each changed message says. */
export const eventOfAction: Record<ChangeAction, EventName> = {
  retry: "message.retried",
  hold: "message.held",
  release: "message.released",
  remove: "message.removed",
  "put-back": "message.requeued",
  reroute: "message.rerouted",
};

/** @param by  the name of the token */
export function perform(
  deps: TaskDeps,
  action: ChangeAction,
  selection: JobSelection,
  { reason, untilMs, replace = false, notify = false, via = originalRoute }: TaskTerms,
  by: string,
  options: ChangeOptions,
): Promise<TaskReport> {
  const { inspector } = deps;
  switch (action) {
    case "retry":
      return inspector.retry(selection, options);
    case "hold": {
      const terms = {
        ...(reason === undefined ? {} : { reason }),
        ...(untilMs === undefined ? {} : { untilMs }),
        by,
        replace,
      };
      return holdMessages(deps, selection, terms, options);
    }
    case "release":
      return inspector.release(selection, options);
    case "remove":
      return removeMessages(deps, selection, notify, options);
    case "put-back":
      return requeueMessages(deps, selection, options);
    case "reroute":
      return rerouteMessages(deps, selection, via, options);
  }
}
