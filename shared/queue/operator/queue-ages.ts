/** The ages of queued mail by queue and state, for metrics. Pure. */
import type { IndexedJob } from "./mail-index.ts";
import { ageBounds, ageNames, columnOf } from "./summary.ts";

export interface QueueAges {
  /** Age of the oldest message in seconds, by queue and state (joined by a tab). */
  oldestSeconds: Map<string, number>;
  /** Jobs by queue, state and age (joined by tabs); the ages are the columns of `postern queue summary`. */
  jobs: Map<string, number>;
}

export function queueAges(
  jobs: Iterable<Pick<IndexedJob, "queue" | "status" | "receivedAtMs">>,
  nowMs: number,
): QueueAges {
  const ages: QueueAges = { oldestSeconds: new Map(), jobs: new Map() };
  const bounds = ageBounds(nowMs);
  for (const { queue, status, receivedAtMs } of jobs) {
    const key = `${queue}\t${status}`;
    const seconds = Math.max(0, nowMs - receivedAtMs) / 1000;
    if (seconds >= (ages.oldestSeconds.get(key) ?? 0)) ages.oldestSeconds.set(key, seconds);
    const column = `${key}\t${ageNames[columnOf(receivedAtMs, bounds)]}`;
    ages.jobs.set(column, (ages.jobs.get(column) ?? 0) + 1);
  }
  return ages;
}
