/**
 * Routes that change messages: by ids, by filter, or all. Each change is a task with an id, and is logged with who made it
 * and the result, and for each message, so that its timeline names who changed it.
 */
import type { FastifyRequest } from "fastify";
import type { TaskReport, TaskTerms } from "../tasks/perform.ts";
import { readVia } from "../tasks/reroute.ts";
import type { ChangeAction } from "../tasks/task.ts";
import {
  type ImportRequest,
  TaskCancelled,
  type TaskRequest,
  type TaskRunner,
  TooManyTasks,
} from "../tasks/task-runner.ts";
import { actorOf } from "./actor.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import {
  changeReport,
  holdBody,
  holdReport,
  removeBody,
  removeReport,
  rerouteBody,
  rerouteReport,
  type Selection,
  selectionBody,
} from "./schemas.ts";
import { describeSelection, toJobSelection } from "./selection.ts";

interface ChangeBody extends Selection {
  dryRun: boolean;
  reason?: string | undefined;
}

export function changeRoutes(tasks: TaskRunner, deps: Pick<AdminDependencies, "config">): Route[] {
  /** Waits for the whole change. */
  const change = async (
    action: ChangeAction,
    request: FastifyRequest,
    body: ChangeBody,
    terms: TaskTerms = {},
  ): Promise<TaskReport & { task: string | null }> => {
    const wanted = taskRequest(action, request, body, terms);
    if (body.dryRun) return { ...(await ask(tasks.tryOut(wanted))), task: null };
    const { task, report } = await startTask(tasks, wanted);
    return { ...(await ask(report.catch(orCancelled))), task: task.id };
  };

  return [
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/retry",
      operationId: "retryMessages",
      summary: "Deferred messages are due now; held and dead ones are left as they are",
      access: "write",
      body: selectionBody,
      responses: { 200: { description: "The result, message by message.", schema: changeReport } },
      handle: ({ body, request }) => change("retry", request, body),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/hold",
      operationId: "holdMessages",
      summary:
        "No attempt is made until the hold ends; a hold of one sender, one destination or all also holds later messages",
      access: "write",
      body: holdBody,
      responses: { 200: { description: "The result, message by message.", schema: holdReport } },
      handle({ body, request }) {
        const { until, replace } = body;
        return change("hold", request, body, { ...untilOf(until), replace });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/release",
      operationId: "releaseMessages",
      summary: "Ends the hold with the same selection; messages that another rule holds stay held",
      access: "write",
      body: selectionBody,
      responses: { 200: { description: "The result, message by message.", schema: changeReport } },
      handle: ({ body, request }) => change("release", request, body),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/remove",
      operationId: "removeMessages",
      summary: "Removes messages for good; with notify their senders get a delivery status notification",
      access: "write",
      body: removeBody,
      responses: { 200: { description: "The result, message by message.", schema: removeReport } },
      handle: ({ body, request }) => change("remove", request, body, { notify: body.notify }),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/put-back",
      operationId: "putBackMessages",
      summary: "Requeues dead messages, with the schedule and lifetime of new ones",
      access: "write",
      body: selectionBody,
      responses: { 200: { description: "The result, message by message.", schema: changeReport } },
      handle: ({ body, request }) => change("put-back", request, body),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/reroute",
      operationId: "rerouteMessages",
      summary: "Sends messages by another next hop, from now on; they are due now unless a hold covers it",
      access: "write",
      body: rerouteBody,
      responses: { 200: { description: "The result, message by message.", schema: rerouteReport } },
      async handle({ body, request }) {
        return change("reroute", request, body, { via: checkedVia(body.via, deps.config) });
      },
    }),
  ];
}

/** @throws Problem 400 */
export function checkedVia(via: string, config: AdminDependencies["config"]): string {
  const read = readVia(via, config);
  if (read !== undefined) return read;
  const names = Object.keys(config.relay.hosts);
  const known = names.length === 0 ? "relay.hosts has none" : `relay.hosts has ${names.join(", ")}`;
  const detail = `names no next hop: '${via}' is no relay host (${known}), no HOST:PORT, and neither mx nor original`;
  throw new Problem(400, `body.via ${detail}`, { violations: [{ field: "body.via", detail }] });
}

/** The end of a hold as tasks have it. */
export function untilOf(until: string | null | undefined): { untilMs?: number | null } {
  return until === undefined ? {} : { untilMs: until === null ? null : Date.parse(until) };
}

export function taskRequest(
  action: ChangeAction,
  request: FastifyRequest,
  selection: Selection & { reason?: string | undefined },
  terms: TaskTerms,
): TaskRequest {
  return {
    action,
    selection: toJobSelection(selection),
    described: describeSelection(selection),
    terms: { reason: selection.reason, ...terms },
    actor: actorOf(request),
  };
}

/** @throws Problem 429 when too many run, 503 without Redis */
export async function startTask(tasks: TaskRunner, request: TaskRequest | ImportRequest) {
  const refused = (error: unknown): never => {
    throw error instanceof TooManyTasks ? new Problem(429, error.message) : error;
  };
  return ask(tasks.start(request).catch(refused));
}

function orCancelled(error: unknown): never {
  if (error instanceof TaskCancelled) throw new Problem(409, `The task did not go on: ${error.message}.`);
  throw error;
}
