/** The tasks of the admin API: changes of many messages. */
import { z } from "zod";
import type { AdminClient } from "../admin-api/admin-client.ts";
import { AdminRefused } from "../admin-api/admin-client.ts";

const taskSchema = z.looseObject({
  id: z.string(),
  action: z.string(),
  selection: z.record(z.string(), z.unknown()),
  via: z.string().optional(),
  reason: z.string().nullable(),
  by: z.string(),
  state: z.string(),
  startedAt: z.string(),
  finishedAt: z.string().nullable(),
  total: z.number().nullable(),
  matched: z.number(),
  changed: z.number(),
  skipped: z.number(),
  error: z.string().nullable(),
});
export type Task = z.infer<typeof taskSchema>;

/** The newest first. */
export async function listTasks(client: AdminClient): Promise<Task[]> {
  return z.object({ tasks: z.array(taskSchema) }).parse(await client.get("/api/v1/tasks")).tasks;
}

/** @returns `undefined` when there is no such task */
export async function showTask(client: AdminClient, id: string): Promise<Task | undefined> {
  try {
    return taskSchema.parse(await client.get(taskPath(id)));
  } catch (error) {
    if (error instanceof AdminRefused && error.status === 404) return undefined;
    throw error;
  }
}

/** @throws AdminRefused when it does not run */
export async function cancelTask(client: AdminClient, id: string): Promise<void> {
  await client.delete(taskPath(id));
}

function taskPath(id: string): string {
  return `/api/v1/tasks/${encodeURIComponent(id)}`;
}
