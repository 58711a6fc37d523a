/** What consumers measure of the jobs that they work on. */
import { type Metrics, secondsBuckets } from "../runtime/metrics.ts";
import type { QueueName } from "./contract/contract.ts";

export interface JobMetrics {
  /** Measures the work on one job. */
  measure<T>(queue: QueueName, work: () => Promise<T>): Promise<T>;
  /** The work failed by an unexpected error, and is repeated. */
  failed(queue: QueueName): void;
}

export function createJobMetrics(metrics: Metrics): JobMetrics {
  const active = new Map<string, number>();
  const seconds = metrics.histogram(
    "job_seconds",
    "How long the work on a job took, by queue, whatever came of it.",
    secondsBuckets,
    ["queue"],
  );
  const failures = metrics.counter(
    "job_failures_total",
    "Jobs that could not be worked on: the spool or Redis failed, or a defect of ours. They are repeated; the log says why (`a job could not be worked on`).",
    ["queue"],
  );
  metrics.gauge("jobs_active", "Jobs that this process works on now, by queue.", () => active, ["queue"]);
  return {
    async measure(queue, work) {
      const begunMs = performance.now();
      active.set(queue, (active.get(queue) ?? 0) + 1);
      try {
        return await work();
      } finally {
        active.set(queue, (active.get(queue) ?? 0) - 1);
        seconds.with(queue).observe((performance.now() - begunMs) / 1000);
      }
    },
    failed: (queue) => failures.with(queue).add(),
  };
}
