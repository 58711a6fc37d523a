/** The start page and the description of the API. */

import { type PageView, renderPage } from "../page/page.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { openApiDocument } from "./openapi.ts";
import { queueRows } from "./queue-counts.ts";
import { within } from "./readiness.ts";
import { defineRoute, type Route } from "./route.ts";

/** What a person waits for a page. */
const limitMs = 2_000;
const shownRows = 10;

export function pageRoutes(deps: AdminDependencies, version: string, all: () => readonly Route[]): Route[] {
  let document: Record<string, unknown> | undefined;
  return [
    defineRoute({
      method: "GET",
      path: "/",
      operationId: "startPage",
      summary: "The gateway at a glance, for people",
      access: "read",
      responses: { 200: { description: "A page.", type: "text/html" } },
      async handle({ reply }) {
        reply.type("text/html; charset=utf-8");
        return renderPage(await gatherView(deps, version));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/openapi.json",
      operationId: "describeApi",
      summary: "This document",
      access: "read",
      responses: { 200: { description: "OpenAPI 3.1.", type: "application/json" } },
      async handle() {
        document ??= openApiDocument(all(), version);
        return document;
      },
    }),
  ];
}

async function gatherView(deps: AdminDependencies, version: string): Promise<PageView> {
  const { inspector, config } = deps;
  const [health, storage, queues] = await Promise.all([
    deps.health(),
    within(limitMs, () => deps.spoolStatus()),
    within(limitMs, async () => {
      const [counts, services, { rows }] = await Promise.all([
        ask(inspector.counts()),
        ask(deps.services()),
        ask(inspector.list({ status: "deferred" }, { limit: shownRows })),
      ]);
      return { counts: queueRows(counts), services, oldestMs: deps.oldestMs(), deferred: rows };
    }),
  ]);
  return {
    hostname: config.hostname,
    version,
    reasons: health.reasons,
    ...(queues.kind === "ok" ? { queues: queues.value } : {}),
    spool: storage.kind === "ok" ? storage.value : undefined,
    nowMs: deps.now(),
  };
}
