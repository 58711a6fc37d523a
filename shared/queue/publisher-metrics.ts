/** What the background publisher measures: the way of accepted messages from the spool into Redis. */
import { type Metrics, shortSecondsBuckets } from "../runtime/metrics.ts";
import type { Publisher } from "./contract/queue.ts";

export interface PublisherMetrics {
  /** Reads the backlog of this publisher at each scrape. */
  watch(publisher: Pick<Publisher, "backlog">): void;
  /** A batch that Redis has taken. */
  enqueued(messages: number, seconds: number): void;
  failed(): void;
  dropped(messages: number): void;
}

export function createPublisherMetrics(metrics: Metrics): PublisherMetrics {
  const messages = metrics
    .counter("enqueued_messages_total", "Messages whose delivery jobs Redis has taken from this process.")
    .with();
  const seconds = metrics
    .histogram(
      "enqueue_seconds",
      "How long Redis took for a batch of jobs. Above 0.1 s for long: look at Redis, its disk and its host.",
      shortSecondsBuckets,
    )
    .with();
  const failures = metrics
    .counter(
      "enqueue_failures_total",
      "Batches that Redis refused or did not answer; they are repeated. While it grows nothing is scheduled; the mail is in the spool.",
    )
    .with();
  const dropped = metrics
    .counter(
      "enqueue_dropped_total",
      "Messages that waited only in the spool since Redis was away for too long; the reconciler enqueues them when it is back. No mail is lost.",
    )
    .with();
  let watched: Pick<Publisher, "backlog"> | undefined;
  metrics.gauge(
    "enqueue_backlog_messages",
    "Messages that are accepted and not yet in Redis. Not 0 for a minute: Redis is away or too slow.",
    () => watched?.backlog ?? 0,
  );
  return {
    watch(publisher) {
      watched = publisher;
    },
    enqueued(count, took) {
      messages.add(count);
      seconds.observe(took);
    },
    failed: () => failures.add(),
    dropped: (count) => dropped.add(count),
  };
}
