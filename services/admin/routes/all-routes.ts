/** Every route of the admin's API, in the order of its document. docs/api.md is generated from them. */
import type { TaskRunner } from "../tasks/task-runner.ts";
import { changeRoutes } from "./change-routes.ts";
import type { AdminDependencies } from "./dependencies.ts";
import { destinationRoutes } from "./destination-routes.ts";
import { drainRoutes } from "./drain-routes.ts";
import { eventRoutes } from "./event-routes.ts";
import { holdRoutes } from "./hold-routes.ts";
import { importRoutes } from "./import-routes.ts";
import { messageRoutes } from "./message-routes.ts";
import { openApiRoute } from "./openapi.ts";
import { overviewRoutes } from "./overview-routes.ts";
import { probeRoutes } from "./probe-routes.ts";
import { reloadRoutes } from "./reload-routes.ts";
import type { Route } from "./route.ts";
import { statusRoutes } from "./status-routes.ts";
import { summaryRoutes } from "./summary-routes.ts";
import { taskRoutes } from "./task-routes.ts";

export interface RouteParts {
  deps: AdminDependencies;
  tasks: TaskRunner;
  prober: Parameters<typeof probeRoutes>[1];
  /** The live feed of events. */
  stream: Route;
  metrics: Parameters<typeof overviewRoutes>[1];
  /** Of the product. */
  version: string;
}

/** Only builds the routes: nothing of `deps` is used before a request. */
export function allRoutes({ deps, tasks, prober, stream, metrics, version }: RouteParts): Route[] {
  const routes: Route[] = [
    ...overviewRoutes(deps, metrics),
    ...messageRoutes(deps),
    ...changeRoutes(tasks, deps),
    ...taskRoutes(tasks, deps),
    ...holdRoutes(deps),
    ...importRoutes(deps, tasks),
    ...probeRoutes(deps, prober),
    ...summaryRoutes(deps),
    ...eventRoutes(deps),
    stream,
    ...reloadRoutes(deps),
    ...drainRoutes(deps),
    ...statusRoutes(deps),
    ...destinationRoutes(deps),
    openApiRoute(version, () => routes),
  ];
  return routes;
}
