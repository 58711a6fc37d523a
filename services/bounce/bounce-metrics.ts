/** What the bounce service counts. */
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { DsnKind } from "./dsn.ts";

export interface BounceMetrics {
  made(kind: DsnKind): void;
  /** Recipients that could be neither delivered nor reported. */
  dead(recipients: number): void;
}

/** @param metrics  of the process; absent: nothing is exported */
export function createBounceMetrics(metrics?: Metrics): BounceMetrics {
  if (metrics === undefined) return { made() {}, dead() {} };
  const made = metrics.counter("notifications_total", "Delivery status notifications made, by kind.", [
    "kind",
  ]);
  const dead = metrics
    .counter(
      "bounce_dead_recipients_total",
      "Recipients that could be neither delivered nor reported to a sender.",
    )
    .with();
  return { made: (kind) => made.with(kind).add(), dead: (recipients) => dead.add(recipients) };
}
