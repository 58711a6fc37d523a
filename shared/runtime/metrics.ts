/** The metrics of one process. Counting adds to a number; Prometheus' formats are made when /metrics is read. */
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  type Metric,
  Registry,
} from "prom-client";

/** One series of a counter. */
export interface Tally {
  add(count?: number): void;
}

/** A counter with labels. Where the label values are fixed, look the tally up once and keep it. */
export interface LabelledCounter {
  /** The series with these label values, in the order of the label names. */
  with(...values: string[]): Tally;
}

/** A histogram with labels. Where the label values are fixed, look the series up once and keep it. */
export interface LabelledHistogram {
  with(...values: string[]): { observe(value: number): void };
}

/** What is known of a metric without its values: docs/metrics.md is made of these. */
export interface MetricFamily {
  /** With `postern_`. */
  name: string;
  type: "counter" | "gauge" | "histogram";
  help: string;
  labels: readonly string[];
}

/**
 * What the value of a service is that has several workers. `sum` of theirs, or `max`; `each`: a series for each, with the
 * label `worker`.
 */
export type OverWorkers = "sum" | "max" | "each";

/** The values of a metric at one moment, in a form that can be sent to another process. */
export interface MetricValues {
  name: string;
  help: string;
  type: string;
  aggregator: string;
  values: { labels: Record<string, string | number>; value: number; metricName?: string }[];
}

/** A value, or a value for each combination of label values (joined by a tab). */
export type Reading = number | ReadonlyMap<string, number>;

export interface Metrics {
  /** @param name  without `postern_`, ending in `_total` */
  counter(name: string, help: string, labels?: readonly string[]): LabelledCounter;
  /** A counter that something else keeps, and that is read at each scrape. */
  counted(
    name: string,
    help: string,
    read: () => Reading,
    labels?: readonly string[],
    overWorkers?: OverWorkers,
  ): void;
  /**
   * @param name     without `postern_`, ending in its unit, for example `_seconds`
   * @param buckets  upper bounds, ascending
   */
  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly string[],
  ): LabelledHistogram;
  /** A value that is read at each scrape. */
  gauge(
    name: string,
    help: string,
    read: () => Reading | Promise<Reading>,
    labels?: readonly string[],
    overWorkers?: OverWorkers,
  ): void;
  /** Every metric of Postern's own, in the order in which they were made. */
  families(): readonly MetricFamily[];
  /** What a counter has counted, by its label values (joined by a tab); empty for one that there is not. */
  totals(name: string): Map<string, number>;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
  /** What text() has, as values. */
  values(): Promise<MetricValues[]>;
  readonly contentType: string;
}

/** For times from a Redis round trip to a slow remote server, in seconds. */
export const secondsBuckets: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600,
];

/** For times on this host: a disk, Redis, the event loop. */
export const shortSecondsBuckets: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Label values may come from outside (domains): series beyond this number are counted as `other`. */
const maxSeries = 1000;
const separator = "\t";

/**
 * @param service  a label of every series
 * @param ofNode  `false`: without the metrics of Node.js and of the process
 */
export function createMetrics(service: string, ofNode = true): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  if (ofNode) collectDefaultMetrics({ register: registry });
  const families: MetricFamily[] = [];

  function describe(type: MetricFamily["type"], name: string, help: string, labels: readonly string[]) {
    const family: MetricFamily = { name: `postern_${name}`, type, help, labels };
    families.push(family);
    return { name: family.name, help, labelNames: [...labels], registers: [registry] };
  }
  const counters = new Map<string, SeriesMap<Count>>();

  return {
    counter(name, help, labels = []) {
      const series = new SeriesMap(() => new Count());
      counters.set(name, series);
      new Counter({
        ...describe("counter", name, help, labels),
        collect() {
          this.reset();
          for (const [key, tally] of series.entries()) this.inc(labelsOf(labels, key), tally.count);
        },
      });
      return { with: (...values) => series.at(values) };
    },

    counted(name, help, read, labels = [], overWorkers = "sum") {
      new Counter({
        ...describe("counter", name, help, labels),
        aggregator: overWorkers as "sum",
        collect() {
          this.reset();
          for (const [key, value] of seriesOf(read())) this.inc(labelsOf(labels, key), value);
        },
      });
    },

    histogram(name, help, buckets, labels = []) {
      const { name: fullName } = describe("histogram", name, help, labels);
      const series = new SeriesMap(() => new Distribution(buckets));
      const metric = {
        name: fullName,
        type: "histogram",
        help,
        aggregator: "sum",
        async get() {
          const values = [...series.entries()].flatMap(([key, distribution]) =>
            distribution.count === 0 && labels.length > 0
              ? []
              : distribution.values(fullName, labelsOf(labels, key)),
          );
          return { name: fullName, type: "histogram", help, aggregator: "sum", values };
        },
      };
      // Of a metric, the registry asks no more than this.
      registry.registerMetric(metric as unknown as Metric);
      if (labels.length === 0) series.at([]);
      return { with: (...values) => series.at(values) };
    },

    gauge(name, help, read, labels = [], overWorkers = "sum") {
      new Gauge({
        ...describe("gauge", name, help, labels),
        aggregator: overWorkers as "sum",
        async collect() {
          this.reset();
          const value = await read();
          this.reset();
          for (const [key, each] of seriesOf(value)) this.set(labelsOf(labels, key), each);
        },
      });
    },

    families: () => families,

    totals(name) {
      const series = counters.get(name)?.entries() ?? [];
      return new Map([...series].map(([key, { count }]) => [key, count]));
    },

    text: () => registry.metrics(),
    values: () => valuesOf(registry),
    contentType: registry.contentType,
  };
}

/** Joins the metrics of several processes: those with the same labels become one, as their `aggregator` says. */
export function joinMetrics(processes: readonly (readonly MetricValues[])[]): {
  values(): Promise<MetricValues[]>;
  text(): Promise<string>;
} {
  // Its types take the objects of a registry only.
  const registry = AggregatorRegistry.aggregate(processes as unknown as object[]);
  return { values: () => valuesOf(registry), text: () => registry.metrics() };
}

/** Labels that the series of a histogram share stand at each of them: they are joined by their labels. JSON has no NaN. */
async function valuesOf(registry: Pick<Registry, "getMetricsAsJSON">): Promise<MetricValues[]> {
  const metrics = (await registry.getMetricsAsJSON()) as unknown as WithSharedLabels[];
  return metrics.map(({ name, help, type, aggregator = "sum", values }) => ({
    name,
    help,
    type: String(type),
    aggregator,
    values: values
      .filter(({ value }) => Number.isFinite(value))
      .map(({ labels, sharedLabels, value, metricName }) => ({
        labels: { ...sharedLabels, ...labels },
        value,
        ...(metricName === undefined ? {} : { metricName }),
      })),
  }));
}

interface WithSharedLabels extends Omit<MetricValues, "values" | "aggregator"> {
  aggregator?: string;
  values: (MetricValues["values"][number] & { sharedLabels?: Record<string, string> })[];
}

class Count implements Tally {
  count = 0;
  add(count = 1): void {
    this.count += count;
  }
}

/** One series of a histogram. prom-client's own would look its labels up with each value, which costs ten times as much. */
class Distribution {
  readonly #bounds: readonly number[];
  /** By bucket, not cumulative; the last has what is above all bounds. */
  readonly #counts: Float64Array;
  #sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    if (!Number.isFinite(value)) return;
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? 0)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
    this.count++;
  }

  /** As the registry writes them. */
  values(name: string, sharedLabels: Record<string, string>): object[] {
    let below = 0;
    const buckets = [...this.#bounds, "+Inf"].map((le, bucket) => {
      below += this.#counts[bucket] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le }, sharedLabels, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: {}, sharedLabels, value: this.#sum },
      { metricName: `${name}_count`, labels: {}, sharedLabels, value: this.count },
    ];
  }
}

class SeriesMap<T> {
  readonly #series = new Map<string, T>();
  readonly #make: (key: string) => T;

  constructor(make: (key: string) => T) {
    this.#make = make;
  }

  at(values: string[]): T {
    const key = values.length === 1 ? (values[0] ?? "") : values.join(separator);
    return this.#series.get(key) ?? this.#add(key, values.length);
  }

  #add(key: string, labels: number): T {
    const overflow = this.#series.size >= maxSeries;
    const stored = overflow ? Array(labels).fill("other").join(separator) : key;
    const existing = overflow ? this.#series.get(stored) : undefined;
    if (existing !== undefined) return existing;
    const made = this.#make(stored);
    this.#series.set(stored, made);
    return made;
  }

  entries(): IterableIterator<[string, T]> {
    return this.#series.entries();
  }
}

function seriesOf(reading: Reading): Iterable<[string, number]> {
  return typeof reading === "number" ? [["", reading]] : reading.entries();
}

function labelsOf(names: readonly string[], key: string): Record<string, string> {
  const values = key.split(separator);
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""]));
}
