/**
 * Routes that change messages: by ids, by filter, or all. Each change is logged with the client and the result, and for
 * each message, so that its timeline names who changed it.
 */
import type { FastifyRequest } from "fastify";
import type { Changed, ChangeReport } from "../../../shared/queue/operator/inspector.ts";
import { type EventName, logEvent, writeEvent } from "../../../shared/runtime/log.ts";
import { actorOf } from "./actor.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { removeMessages, requeueMessages } from "./removal.ts";
import { defineRoute, type Route } from "./route.ts";
import {
  changeReport,
  holdBody,
  holdReport,
  removeBody,
  removeReport,
  type Selection,
  selectionBody,
} from "./schemas.ts";
import { describeSelection, toJobSelection } from "./selection.ts";

type Action = "retry" | "hold" | "release" | "remove" | "put-back";

/** What happened to each message. */
const eventOf: Record<Action, EventName> = {
  retry: "message.retried",
  hold: "message.held",
  release: "message.released",
  remove: "message.removed",
  "put-back": "message.requeued",
};

/** So that a line of the log stays readable; a change of many messages makes several. */
const idsOfLine = 100;

export function changeRoutes(deps: AdminDependencies): Route[] {
  const { inspector, log } = deps;

  const logged = async <R extends ChangeReport>(
    action: Action,
    request: FastifyRequest,
    selection: Selection,
    change: (changed: Changed) => Promise<R>,
    terms: Record<string, unknown> = {},
  ): Promise<R> => {
    const facts = {
      event: "admin.change" as const,
      action,
      ...actorOf(request),
      ...describeSelection(selection),
      ...terms,
    };
    const changed: Changed = (messageIds) => {
      for (let start = 0; start < messageIds.length; start += idsOfLine) {
        const ids = messageIds.slice(start, start + idsOfLine);
        logEvent(log, { event: eventOf[action], ...actorOf(request), ...terms, ids });
      }
    };
    try {
      const report = await ask(change(changed));
      const { matched, skipped, unknown } = report;
      const counts = { matched, changed: report.changed, skipped: skipped.length, unknown: unknown.length };
      logEvent(log, { ...facts, ...counts });
      return report;
    } catch (error) {
      // Some of the messages may have been changed.
      writeEvent(log, "warn", { ...facts, err: error }, undefined, "the change was not completed");
      throw error;
    }
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
      handle: ({ body, request }) =>
        logged("retry", request, body, (changed) => inspector.retry(toJobSelection(body), changed)),
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
      handle({ body: { reason, until, ...selection }, request }) {
        const terms = {
          ...(reason === undefined ? {} : { reason }),
          ...(until === undefined ? {} : { untilMs: Date.parse(until) }),
        };
        const change = (changed: Changed) => inspector.hold(toJobSelection(selection), terms, changed);
        return logged("hold", request, selection, change, { reason, until });
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
      handle: ({ body, request }) =>
        logged("release", request, body, (changed) => inspector.release(toJobSelection(body), changed)),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/remove",
      operationId: "removeMessages",
      summary: "Removes messages for good; with notify their senders get a delivery status notification",
      access: "write",
      body: removeBody,
      responses: { 200: { description: "The result, message by message.", schema: removeReport } },
      handle({ body: { notify, ...selection }, request }) {
        const change = (changed: Changed) => removeMessages(deps, toJobSelection(selection), notify, changed);
        return logged("remove", request, selection, change, { notify });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/put-back",
      operationId: "putBackMessages",
      summary: "Requeues dead messages, with the schedule and lifetime of new ones",
      access: "write",
      body: selectionBody,
      responses: { 200: { description: "The result, message by message.", schema: changeReport } },
      handle: ({ body, request }) =>
        logged("put-back", request, body, (changed) => requeueMessages(deps, toJobSelection(body), changed)),
    }),
  ];
}
