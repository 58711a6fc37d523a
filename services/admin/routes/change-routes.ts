/** Changing messages: by ids, by filter, or all. Each change is logged with who asked and what it did. */
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
      // Part of it may have been done.
      log.warn({ ...facts, err: error }, "the change ended early");
      throw error;
    }
  };

  return [
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/retry",
      operationId: "retryMessages",
      summary: "Deferred messages are due now; held ones are spared, dead ones need put-back",
      access: "write",
      body: selectionBody,
      responses: { 200: { description: "What became of it.", schema: changeReport } },
      handle: ({ body, request }) => logged("retry", request, body, inspector.retry(toJobSelection(body))),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/hold",
      operationId: "holdMessages",
      summary:
        "No attempt is made until the hold ends; one sender, one destination or all also hold what comes later",
      access: "write",
      body: holdBody,
      responses: { 200: { description: "What became of it.", schema: holdReport } },
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
      summary: "Ends what hold with the same selection did; what another rule holds stays held",
      access: "write",
      body: selectionBody,
      responses: { 200: { description: "What became of it.", schema: changeReport } },
      handle: ({ body, request }) =>
        logged("release", request, body, inspector.release(toJobSelection(body))),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/remove",
      operationId: "removeMessages",
      summary: "Never delivered, and freed; with notify the sender gets a delivery status notification",
      access: "write",
      body: removeBody,
      responses: { 200: { description: "What became of it.", schema: removeReport } },
      handle({ body: { notify, ...selection }, request }) {
        const change = removeMessages(deps, toJobSelection(selection), notify);
        return logged("remove", request, selection, change, { notify });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/messages/put-back",
      operationId: "putBackMessages",
      summary: "Dead messages are delivered again, with a schedule as for new ones",
      access: "write",
      body: selectionBody,
      responses: { 200: { description: "What became of it.", schema: changeReport } },
      handle: ({ body, request }) =>
        logged("put-back", request, body, requeueMessages(deps, toJobSelection(body))),
    }),
  ];
}
