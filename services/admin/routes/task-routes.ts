/** Routes for tasks: changes of many messages that go on while nobody waits for them. */
import { z } from "zod";
import { changeActions, taskReportSchema, taskSchema } from "../tasks/task.ts";
import type { TaskRunner } from "../tasks/task-runner.ts";
import { checkedVia, startTask, taskRequest, untilOf } from "./change-routes.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import {
  holdTerms,
  oneSelection,
  oneSelectionMessage,
  replaceHold,
  selectionFields,
  viaText,
} from "./schemas.ts";

const newTask = z
  .strictObject({
    action: z.enum(changeActions),
    ...selectionFields,
    ...holdTerms,
    replace: replaceHold.optional(),
    via: viaText.optional(),
    notify: z.boolean().optional().describe("remove: send the senders a delivery status notification."),
  })
  .refine(oneSelection, oneSelectionMessage)
  .refine(
    ({ action, until, replace }) => (until === undefined && replace === undefined) || action === "hold",
    "takes `until` and `replace` with hold only",
  )
  .refine(
    ({ action, notify }) => notify === undefined || action === "remove",
    "takes `notify` with remove only",
  )
  .refine(
    ({ action, via }) => (via !== undefined) === (action === "reroute"),
    "takes `via` with reroute, always",
  );

const taskParams = z.object({ id: z.string().max(100) });

export function taskRoutes(tasks: TaskRunner, deps: Pick<AdminDependencies, "config">): Route[] {
  const find = async (id: string) => {
    const task = await ask(tasks.find(id));
    if (task === undefined) throw new Problem(404, `There is no task ${id}.`);
    return task;
  };
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/tasks",
      operationId: "listTasks",
      summary: "The last changes of messages, the newest first",
      access: "read",
      responses: {
        200: { description: "At most two hundred.", schema: z.object({ tasks: z.array(taskSchema) }) },
      },
      handle: async () => ({ tasks: await ask(tasks.list()) }),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/tasks",
      operationId: "startTask",
      summary: "Starts a change of messages, and does not wait for it",
      access: "write",
      body: newTask,
      responses: { 202: { description: "It runs.", schema: taskSchema } },
      async handle({ body, request, reply }) {
        const { action, until, replace, notify } = body;
        const via = body.via === undefined ? undefined : checkedVia(body.via, deps.config);
        const terms = { ...untilOf(until), replace, notify, via };
        const { task } = await startTask(tasks, taskRequest(action, request, body, terms));
        reply.code(202);
        return task;
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/tasks/{id}",
      operationId: "showTask",
      summary: "How far a change of messages is",
      access: "read",
      params: taskParams,
      responses: { 200: { description: "The task.", schema: taskSchema } },
      handle: ({ params: { id } }) => find(id),
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/tasks/{id}/report",
      operationId: "showTaskReport",
      summary: "What came of a change of messages that is done: what was left as it is, and why",
      access: "read",
      params: taskParams,
      responses: { 200: { description: "The report.", schema: taskReportSchema } },
      async handle({ params: { id } }) {
        const report = await ask(tasks.report(id));
        if (report !== undefined) return report;
        const { state } = await find(id);
        throw new Problem(409, `The task ${id} is ${state}: there is no report of it.`);
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/v1/tasks/{id}",
      operationId: "cancelTask",
      summary: "Ends a running change of messages; what it changed stays changed",
      access: "write",
      params: taskParams,
      responses: { 200: { description: "It ends.", schema: taskSchema } },
      async handle({ params: { id } }) {
        const task = await find(id);
        if (tasks.cancel(id)) return task;
        const why = task.state === "running" ? "runs in another admin process" : `is ${task.state}`;
        throw new Problem(409, `The task ${id} ${why}.`);
      },
    }),
  ];
}
