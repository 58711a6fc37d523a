/** What becomes of the spans that a process has made. */
import type { Metrics } from "./metrics.ts";

export interface TracingMetrics {
  exported(spans: number): void;
  failed(spans: number): void;
}

export function createTracingMetrics(metrics: Metrics): TracingMetrics {
  const spans = metrics.counter(
    "trace_spans_total",
    "Spans that the collector of traces (tracing.otlp) took (exported) or did not (failed). `failed` grows: look at the collector; mail is not affected.",
    ["result"],
  );
  const [exported, failed] = [spans.with("exported"), spans.with("failed")];
  return { exported: (count) => exported.add(count), failed: (count) => failed.add(count) };
}
