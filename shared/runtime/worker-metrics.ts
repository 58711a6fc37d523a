/** The metrics of a service with several workers, as one page: what its workers count is added up. Pure. */
import { joinMetrics, type MetricValues } from "./metrics.ts";

/** What one worker answered. */
export interface WorkerMetrics {
  /** Its number, from 1 on, which its successor has too. `undefined`: it is ending, and its successor has the number. */
  worker: number | undefined;
  metrics: readonly MetricValues[];
}

/**
 * Counters and histograms are sums over the workers and over those that have ended, so that they never go back. Memory,
 * processor and event loop are a series for each worker, with the label `worker`.
 * @param ended  of endedTotals()
 * @param own  metrics of the supervisor
 * @returns the text format of Prometheus
 */
export function metricsPage(
  workers: readonly WorkerMetrics[],
  ended: readonly MetricValues[],
  own: readonly MetricValues[],
): Promise<string> {
  const labelled = workers.map(({ worker, metrics }) =>
    metrics.flatMap((family) => {
      if (!isOfProcess(family)) return [family];
      return worker === undefined ? [] : [forWorker(family, worker)];
    }),
  );
  return joinMetrics([own, ...labelled, ended]).text();
}

/** Adds the last values of a worker that has ended to those of its predecessors: what has to be counted on. */
export function endedTotals(
  before: readonly MetricValues[],
  last: readonly MetricValues[],
): Promise<MetricValues[]> {
  const counted = last.filter(
    (family) => (family.type === "counter" || family.type === "histogram") && !isOfProcess(family),
  );
  return joinMetrics([before, counted]).values();
}

/** Those of Node.js itself carry these prefixes; the version is the same in all workers. */
function isOfProcess({ name, aggregator }: MetricValues): boolean {
  if (aggregator === "each") return true;
  return /^(process|nodejs)_/.test(name) && name !== "nodejs_version_info";
}

function forWorker(family: MetricValues, worker: number): MetricValues {
  return {
    ...family,
    aggregator: "sum",
    values: family.values.map((value) => ({ ...value, labels: { ...value.labels, worker: `${worker}` } })),
  };
}
