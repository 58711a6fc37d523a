/** The metrics of the admin's own requests. */
import { type Metrics, shortSecondsBuckets } from "../../shared/runtime/metrics.ts";

export interface RequestMetrics {
  /** @param route  as it was declared: `/api/v1/messages/:id`; absent: no route has the path */
  answered(method: string, route: string | undefined, status: number, seconds: number): void;
}

export function createRequestMetrics(metrics: Metrics): RequestMetrics {
  const requests = metrics.counter(
    "admin_requests_total",
    "Requests to the admin by method, route and status. 401 grows: somebody guesses the token; 503: Redis or the storage is away.",
    ["method", "route", "status"],
  );
  const seconds = metrics.histogram(
    "admin_request_seconds",
    "How long requests to the admin take, by route.",
    shortSecondsBuckets,
    ["route"],
  );
  return {
    answered(method, route, status, took) {
      const name = routeName(route);
      requests.with(methods.has(method) ? method : "other", name, String(status)).add();
      seconds.with(name).observe(took);
    },
  };
}

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

/** Bull Board has many routes of its own, which count as one. */
function routeName(route: string | undefined): string {
  if (route === undefined) return "none";
  return route.startsWith("/queues") ? "/queues" : route;
}
