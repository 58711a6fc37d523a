/** What each process measures of the events that it appends to the stream in Redis. */
import type { Metrics, Tally } from "../../runtime/metrics.ts";

export interface EventMetrics {
  published: Tally;
  dropped: Tally;
}

const none: Tally = { add() {} };

/**
 * @param metrics  of the process; absent: nothing is exported
 * @param waiting  how many events wait to be appended
 */
export function createEventMetrics(metrics: Metrics | undefined, waiting: () => number): EventMetrics {
  metrics?.gauge(
    "events_waiting",
    "Events that wait to be appended to the stream. Not 0 for a minute: Redis is away or too slow.",
    waiting,
  );
  return {
    published:
      metrics?.counter("events_published_total", "Events appended to the stream in Redis.").with() ?? none,
    dropped:
      metrics
        ?.counter(
          "events_dropped_total",
          "Events that trace and tracking lack, since Redis was away or full. The log has them.",
        )
        .with() ?? none,
  };
}
