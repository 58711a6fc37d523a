/** The route of the summary of queued mail, and how the API writes what the index of the queues says of itself. */
import type { IndexState } from "../../../shared/queue/operator/index-refresher.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { defineRoute, type Route } from "./route.ts";
import { toJobFilter } from "./selection.ts";
import { summaryBody, summaryQuery } from "./summary-schemas.ts";

export function summaryRoutes({ inspector }: AdminDependencies): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/queues/summary",
      operationId: "summariseQueues",
      summary: "Queued mail in groups: by destination, reason, sender or route, and by age",
      access: "read",
      query: summaryQuery,
      responses: { 200: { description: "The largest groups first.", schema: summaryBody } },
      async handle({ query: { by, limit, ...filter } }) {
        const { index, ...summary } = await ask(inspector.summary(toJobFilter(filter), { by, limit }));
        return { by, ...describeIndex(index), ...summary };
      },
    }),
  ];
}

export function describeIndex({ asOfMs, indexed, skipped }: IndexState) {
  return {
    asOf: asOfMs === undefined ? null : new Date(asOfMs).toISOString(),
    indexed,
    notIndexed: skipped,
  };
}
