/** Routes that change messages: by ids, by filter, or all. Each change is logged with the client and the result. */
import type { FastifyRequest } from "fastify";
import type { ChangeReport } from "../../../shared/queue/operator/inspector.ts";
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

export function changeRoutes(deps: AdminDependencies): Route[] {
  const { inspector, log } = deps;

  const logged = async <R extends ChangeReport>(
    action: string,
    request: FastifyRequest,
    selection: Selection,
    change: Promise<R>,
    terms: Record<string, unknown> = {},
  ): Promise<R> => {
    const facts = {
      event: "admin.change",
      action,
      by: request.ip,
      ...describeSelection(selection),
      ...terms,
    };
    try {
      const report = await ask(change);
      const { matched, changed, skipped, unknown } = report;
      log.info({ ...facts, matched, changed, skipped: skipped.length, unknown: unknown.length });
      return report;
    } catch (error) {
      // Some of the messages may have been changed.
      log.warn({ ...facts, err: error }, "the change was not completed");
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
      handle: ({ body, request }) => logged("retry", request, body, inspector.retry(toJobSelection(body))),
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
        const change = inspector.hold(toJobSelection(selection), terms);
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
        logged("release", request, body, inspector.release(toJobSelection(body))),
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
        const change = removeMessages(deps, toJobSelection(selection), notify);
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
        logged("put-back", request, body, requeueMessages(deps, toJobSelection(body))),
    }),
  ];
}
