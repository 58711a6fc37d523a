/** A task: a change of many messages as an operator sees it, while it runs and afterwards. Pure. */
import { z } from "zod";

/** Of mail in the queues. */
export const changeActions = ["retry", "hold", "release", "remove", "put-back", "reroute"] as const;
export type ChangeAction = (typeof changeActions)[number];
const taskActions = [...changeActions, "import"] as const;

const timestamp = z.iso.datetime();

export const taskSchema = z.object({
  id: z.string(),
  action: z.enum(taskActions),
  selection: z
    .record(z.string(), z.unknown())
    .describe(
      "What was selected: `ids` (twenty at most, and how many `more`), `filter` or `all`; import: `file` and `messages`.",
    ),
  via: z.string().optional().describe("reroute: the new next hop, or `original`."),
  reason: z.string().nullable().describe("For people."),
  by: z.string().describe("The name of the token."),
  state: z
    .enum(["running", "done", "cancelled", "failed", "interrupted"])
    .describe("`interrupted`: its admin ended in the middle of it; start it again for the rest."),
  startedAt: timestamp,
  finishedAt: timestamp.nullable(),
  total: z.int().nullable().describe("Jobs that were selected at the start; null when it is not known."),
  matched: z.int().describe("Jobs looked at so far."),
  changed: z.int().describe("Jobs changed so far."),
  skipped: z.int(),
  error: z.string().nullable().describe("Why it failed."),
});
export type Task = z.infer<typeof taskSchema>;

/** As it is stored: with the last sign of life of the admin that runs it. */
export const storedTaskSchema = taskSchema.extend({ seenAtMs: z.number() });
export type StoredTask = z.infer<typeof storedTaskSchema>;

/** What came of a task, message by message. */
export const taskReportSchema = z.object({
  matched: z.int(),
  changed: z.int(),
  skipped: z
    .array(z.object({ id: z.string(), reason: z.string() }))
    .describe("The first two hundred jobs that were left as they are."),
  unknown: z.array(z.string()).describe("Ids that no message has."),
  underWay: z.array(z.string()).optional().describe("Jobs that were being delivered meanwhile."),
  rule: z.string().nullable().optional().describe("The id of the rule that a hold became."),
});
export type StoredReport = z.infer<typeof taskReportSchema>;

/** An admin that runs a task writes it at least this often. */
export const signOfLifeMs = 5_000;
const interruptedAfterMs = 6 * signOfLifeMs;

/** @returns the task as it is to be shown: one whose admin is gone is interrupted */
export function shownTask({ seenAtMs, ...task }: StoredTask, nowMs: number): Task {
  if (task.state !== "running" || nowMs - seenAtMs < interruptedAfterMs) return task;
  return { ...task, state: "interrupted" };
}
