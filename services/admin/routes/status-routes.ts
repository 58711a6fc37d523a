/** The routes of the overview: whether the gateway is well, and what passed through it lately. */
import { bucketsOver } from "../../../shared/runtime/traffic.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { defineRoute, type Route } from "./route.ts";
import { gatewayStatus as gather } from "./status.ts";
import { gatewayStatus, ratesBody, ratesQuery } from "./status-schemas.ts";

const bucketSeconds = 10;

export function statusRoutes(deps: AdminDependencies): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/status",
      operationId: "status",
      summary: "Whether the gateway is well, what is stuck, and what to do next",
      access: "read",
      responses: { 200: { description: "Also when it is not ok.", schema: gatewayStatus } },
      handle: () => gather(deps),
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/rates",
      operationId: "rates",
      summary: "What was accepted, delivered, deferred, bounced, refused and proxied lately",
      access: "read",
      query: ratesQuery,
      responses: { 200: { description: "Counts of ten seconds each.", schema: ratesBody } },
      async handle({ query: { minutes } }) {
        const traffic = await ask(deps.traffic());
        return {
          bucketSeconds,
          buckets: bucketsOver(traffic, minutes).map(({ atMs, isMeasured, ...counts }) => ({
            at: new Date(atMs).toISOString(),
            measured: isMeasured,
            ...counts,
          })),
        };
      },
    }),
  ];
}
