/** Runs a change of messages as a task of the admin, and shows how far it is. The task goes on when this process ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { AdminClient } from "../admin-api/admin-client.ts";
import { CommandFailed, type Context } from "../command-line/command.ts";
import { unlessInterrupted } from "../command-line/interrupt.ts";
import { withProgress } from "../command-line/spinner.ts";
import type { ChangeWords } from "./change.ts";
import { type Report, reportSchema } from "./queue-api.ts";

const taskSchema = z.looseObject({
  id: z.string(),
  state: z.string(),
  total: z.number().nullable(),
  matched: z.number(),
  changed: z.number(),
  error: z.string().nullable(),
});
type Task = z.infer<typeof taskSchema>;

/** A short change is over at the first look; a long one is asked for once a second. */
const firstLookMs = 20;
const longestMs = 1_000;

/**
 * @returns what came of it; `undefined` after Ctrl-C, with the task going on
 * @throws CommandFailed when it ended in another way
 */
export async function runTask(
  context: Context,
  client: AdminClient,
  { action, done }: ChangeWords,
  body: Record<string, unknown>,
): Promise<Report | undefined> {
  const started = taskSchema.parse(await client.post("/api/v1/tasks", { action, ...body }));
  const path = `/api/v1/tasks/${encodeURIComponent(started.id)}`;
  const ended = await withProgress(context, progressOf(done, started), (show) =>
    unlessInterrupted(untilEnded(client, path, (task) => show(progressOf(done, task)))),
  );
  if (ended === undefined) {
    context.stderr.write(
      `the task ${started.id} goes on: 'postern tasks show ${started.id}', 'postern tasks cancel ${started.id}'\n`,
    );
    return undefined;
  }
  const { state, error, changed } = ended.value;
  if (state !== "done") {
    throw new CommandFailed(
      `the task ${started.id} is ${state}${error === null ? "" : `: ${error}`}; it changed ${changed} messages`,
    );
  }
  const report = reportSchema.parse(await client.get(`${path}/report`));
  return { ...report, task: started.id };
}

async function untilEnded(client: AdminClient, path: string, show: (task: Task) => void): Promise<Task> {
  for (let waitMs = firstLookMs; ; waitMs = Math.min(2 * waitMs, longestMs)) {
    await sleep(waitMs);
    const task = taskSchema.parse(await client.get(path));
    if (task.state !== "running") return task;
    show(task);
  }
}

function progressOf(done: string, { matched, total }: Task): string {
  return total === null || total < matched ? `${done} ${matched} …` : `${done} ${matched} of ${total}`;
}
