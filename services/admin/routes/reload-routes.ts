/** The route that lets every process read its configuration again. */
import { logEvent } from "../../../shared/runtime/log.ts";
import { actorOf } from "./actor.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { Problem } from "./problem.ts";
import { type ReloadReport, reloadEveryProcess } from "./reload-all.ts";
import { defineRoute, type Route } from "./route.ts";
import { reloadReport } from "./schemas.ts";

export function reloadRoutes({ redis, log }: AdminDependencies): Route[] {
  let running: Promise<ReloadReport> | undefined;
  return [
    defineRoute({
      method: "POST",
      path: "/api/v1/reload",
      operationId: "reload",
      summary: "Let every process check its configuration file, and take it when all of them can",
      access: "write",
      responses: { 200: { description: "What each process did.", schema: reloadReport } },
      async handle({ request }) {
        if (running !== undefined) throw new Problem(409, "Another reload is under way.");
        running = reloadEveryProcess(redis).finally(() => {
          running = undefined;
        });
        const report = await ask(running);
        const services = report.services.map(({ name, host, state }) => `${name} on ${host}: ${state}`);
        logEvent(log, { event: "admin.reload", ...actorOf(request), state: report.state, services });
        return report;
      },
    }),
  ];
}
