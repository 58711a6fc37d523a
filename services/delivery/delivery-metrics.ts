/** What the delivery service counts and measures. */
import { type Metrics, secondsBuckets } from "../../shared/runtime/metrics.ts";
import type { Outcome } from "../../shared/smtp/diagnosis.ts";
import { unreachable } from "../../shared/unreachable.ts";

export type Measurement =
  /** One recipient's outcome. `delayMs`: since the message was received. */
  | { kind: "outcome"; outcome: Outcome; delayMs: number }
  | { kind: "attempt"; durationMs: number }
  /** Recipients of mail that could be neither delivered nor returned. */
  | { kind: "dead"; recipients: number }
  /** An attempt was not made because the destination is at its limits. */
  | { kind: "full" }
  /** Mail was deferred without an attempt, since no host of its destination answered lately. */
  | { kind: "remembered" };

export interface DeliveryMetrics {
  record(measurement: Measurement): void;
  /** Jobs being worked on. */
  active(change: 1 | -1): void;
}

/** Up to the five days that mail may wait. */
const delayBuckets = [
  ...secondsBuckets.filter((seconds) => seconds >= 0.01),
  1800,
  7200,
  43_200,
  172_800,
  432_000,
];

/** @param metrics  of the process; absent: nothing is exported */
export function createDeliveryMetrics(metrics?: Metrics): DeliveryMetrics {
  if (metrics === undefined) return { record() {}, active() {} };
  let active = 0;
  const outcomes = metrics.counter(
    "delivery_outcomes_total",
    "Recipients by the outcome of an attempt (delivered, deferred, rejected) and the class of the failure.",
    ["outcome", "class"],
  );
  const delivered = outcomes.with("delivered", "");
  const delay = metrics
    .histogram(
      "delivery_delay_seconds",
      "From a message's acceptance to its delivery, for each recipient.",
      delayBuckets,
    )
    .with();
  const duration = metrics
    .histogram("delivery_attempt_seconds", "How long attempts take.", secondsBuckets)
    .with();
  const dead = metrics
    .counter(
      "delivery_dead_recipients_total",
      "Recipients of mail that could be neither delivered nor returned.",
    )
    .with();
  const full = metrics
    .counter("delivery_full_total", "Attempts put off because the destination was at its limits.")
    .with();
  const remembered = metrics
    .counter(
      "delivery_remembered_total",
      "Attempts saved because no host of the destination had answered lately; the mail is deferred all the same.",
    )
    .with();
  metrics.gauge("delivery_active", "Delivery jobs being worked on now.", () => active);
  return {
    record(measurement) {
      switch (measurement.kind) {
        case "outcome": {
          const { outcome, delayMs } = measurement;
          if (outcome.kind === "delivered") {
            delivered.add();
            delay.observe(delayMs / 1000);
          } else outcomes.with(outcome.kind, outcome.diagnosis.class).add();
          break;
        }
        case "attempt":
          duration.observe(measurement.durationMs / 1000);
          break;
        case "dead":
          dead.add(measurement.recipients);
          break;
        case "full":
          full.add();
          break;
        case "remembered":
          remembered.add();
          break;
        default:
          unreachable(measurement);
      }
    },
    active: (change) => {
      active += change;
    },
  };
}
