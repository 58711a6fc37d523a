/** The metrics of the process that supervises the workers of a service. */
import type { Metrics } from "../../../shared/runtime/metrics.ts";
import type { WorkerGroup } from "./worker-group.ts";

/** @param count  how many there are to be */
export function registerWorkerMetrics(
  metrics: Metrics,
  count: number,
  group: Pick<WorkerGroup, "counts">,
): void {
  metrics.gauge("workers", "Workers of this service: how many there are to be (--workers).", () => count);
  metrics.gauge(
    "workers_running",
    "Workers of this service that run. Less than postern_workers for longer than a restart takes: a worker does not start again, and the log says why.",
    () => group.counts().ready,
  );
  metrics.counted(
    "worker_exits_total",
    "Workers that have ended without being asked to, and were started again: killed, for example for lack of memory, or by an unexpected error, which the log has.",
    () => group.counts().exits,
  );
}
