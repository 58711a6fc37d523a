/** Routes about the gateway as a whole: health, metrics, counts and services. */
import { showConfig } from "../../../shared/config/show-config.ts";
import { queueNames } from "../../../shared/queue/contract/contract.ts";
import type {
  QueueCounts as CountsByQueue,
  OldestByQueue,
} from "../../../shared/queue/operator/inspector.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { defineRoute, type Route } from "./route.ts";
import { healthBody, type QueueCounts, queueOverview, serviceList, shownConfig } from "./schemas.ts";

/** The metrics of the whole gateway. */
export interface GatewayMetrics {
  contentType: string;
  text(): Promise<string>;
}

export function overviewRoutes(deps: AdminDependencies, metrics: GatewayMetrics): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/health",
      operationId: "health",
      summary: "Whether the gateway is live, and ready for mail",
      access: "open",
      responses: {
        200: { description: "Ready.", schema: healthBody },
        503: { description: "Not ready, with the reasons.", schema: healthBody },
      },
      async handle({ request, reply }) {
        const { ready, ...why } = await deps.health();
        reply.code(ready ? 200 : 503);
        return { live: true, ready, ...(request.caller.trusted ? why : {}) };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/metrics",
      operationId: "metrics",
      summary: "Metrics of all services, in the text format of Prometheus",
      access: "read",
      responses: { 200: { description: "The metrics.", type: "text/plain" } },
      async handle({ reply }) {
        reply.type(metrics.contentType);
        return metrics.text();
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/queues",
      operationId: "countQueues",
      summary: "Jobs by queue and status, and the age of the oldest message",
      access: "read",
      responses: { 200: { description: "The counts.", schema: queueOverview } },
      async handle() {
        const oldestMs = deps.oldestMs();
        return {
          queues: queueRows(await ask(deps.inspector.counts()), deps.inspector.oldest(), deps.now()),
          oldestSeconds: oldestMs === undefined ? null : oldestMs / 1000,
        };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/config",
      operationId: "showConfig",
      summary: "The configuration that the admin has in force, with every default, secrets masked",
      access: "read",
      responses: { 200: { description: "As a file has it.", schema: shownConfig } },
      async handle() {
        return { config: showConfig(deps.config) };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/services",
      operationId: "listServices",
      summary: "The services that are announced in Redis",
      access: "read",
      responses: { 200: { description: "The services.", schema: serviceList } },
      async handle() {
        return { services: await ask(deps.services()) };
      },
    }),
  ];
}

/** The counts of the queues as rows. Every job in `dead` counts as dead. */
export function queueRows(counts: CountsByQueue, oldest: OldestByQueue = {}, nowMs = 0): QueueCounts[] {
  return queueNames.map((name) => {
    const { waiting, active, deferred, held } = counts[name];
    const all = waiting + active + deferred + held;
    const receivedAtMs = name === "bounce" || all === 0 ? undefined : oldest[name];
    const oldestSeconds = receivedAtMs === undefined ? null : Math.max(0, nowMs - receivedAtMs) / 1000;
    return name === "dead"
      ? { name, waiting: 0, active: 0, deferred: 0, held: 0, dead: all, oldestSeconds }
      : { name, waiting, active, deferred, held, dead: 0, oldestSeconds };
  });
}
