/** The metrics that every service has of its own process, beside those of Node.js. */
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { type Metrics, shortSecondsBuckets } from "./metrics.ts";
import { createTracingMetrics, type TracingMetrics } from "./tracing-metrics.ts";

export interface ProcessMetrics {
  /** A write that this process sent to Redis, and whether that took it. */
  redisWritten(seconds: number, isWritten: boolean): void;
  tracing: TracingMetrics;
}

/** Of Postern. */
export const { version } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as {
  version: string;
};

export function registerProcessMetrics(metrics: Metrics): ProcessMetrics {
  metrics.gauge(
    "build_info",
    "Always 1; the labels say which version of Postern and of Node.js runs. Two versions for long: an upgrade has stopped half-way.",
    () => new Map([[`${version}\t${process.version}`, 1]]),
    ["version", "node"],
    "max",
  );
  metrics.counted(
    "event_loop_active_seconds_total",
    "Time that the event loop was busy. Its rate is the share of one processor that the process can use, 0 to 1: above 0.9 for long, run another instance of the service.",
    () => performance.eventLoopUtilization().active / 1000,
    [],
    "each",
  );
  const seconds = metrics
    .histogram(
      "redis_write_seconds",
      "How long Redis takes for the write that each service sends every second. Slow in one process only: that process or its network is busy; in all: look at Redis, its disk (appendfsync) and its host.",
      shortSecondsBuckets,
    )
    .with();
  const failures = metrics
    .counter(
      "redis_write_failures_total",
      "Such writes that Redis refused or did not answer in time. While it grows nothing can be scheduled; accepted mail waits in the spool, and `postern health` says why.",
    )
    .with();
  return {
    tracing: createTracingMetrics(metrics),
    redisWritten(took, isWritten) {
      if (isWritten) seconds.observe(took);
      else failures.add();
    },
  };
}
