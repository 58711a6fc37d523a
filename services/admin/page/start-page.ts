/** The route of the start page: reads queues, services and spool within a time limit, and renders them. */
import { type AdminDependencies, ask } from "../routes/dependencies.ts";
import { queueRows } from "../routes/overview-routes.ts";
import { within } from "../routes/readiness.ts";
import { defineRoute, type Route } from "../routes/route.ts";
import { type PageView, renderPage } from "./page.ts";

/** A page without the queues is better than one that does not load. */
const limitMs = 2_000;
const shownRows = 10;

export function startPageRoute(deps: AdminDependencies, version: string): Route {
  return defineRoute({
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
  });
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
