/** What the delivery service counts and measures. */
import { type Metrics, secondsBuckets } from "../../shared/runtime/metrics.ts";
import type { Outcome } from "../../shared/smtp/diagnosis.ts";
import type { AttemptFacts } from "../../shared/smtp-client/smtp-client.ts";
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
  /** The steps of an attempt that has ended. */
  attempted(facts: Pick<AttemptFacts, "steps">): void;
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

/**
 * @param metrics  of the process; absent: nothing is exported
 * @param concurrency  `delivery.concurrency`
 */
export function createDeliveryMetrics(metrics?: Metrics, concurrency = 0): DeliveryMetrics {
  if (metrics === undefined) return { record() {}, attempted() {}, active() {} };
  let active = 0;
  const outcomes = metrics.counter(
    "delivery_outcomes_total",
    "Recipients by the outcome of an attempt (delivered, deferred, rejected) and the class of the failure: dns, connect, network, 4xx, 5xx, local. `deferred` jumps: `postern queue list` says why, destination by destination; `local` is a fault of the gateway, see its log.",
    ["outcome", "class"],
  );
  const delivered = outcomes.with("delivered", "");
  const delay = metrics
    .histogram(
      "delivery_delay_seconds",
      "Time in the queue: from a message's acceptance to its delivery, for each recipient. The median rises while nothing is deferred: more workers are needed, compare postern_delivery_active.",
      delayBuckets,
    )
    .with();
  const duration = metrics
    .histogram(
      "delivery_attempt_seconds",
      "How long attempts take, from the wait for a connection to the last reply. postern_delivery_step_seconds says which step is slow.",
      secondsBuckets,
    )
    .with();
  const dead = metrics
    .counter(
      "delivery_dead_recipients_total",
      "Recipients of mail that could be neither delivered nor returned. Grows: see `postern queue list --status dead`.",
    )
    .with();
  const full = metrics
    .counter(
      "delivery_full_total",
      "Attempts put off because the destination, or its host, is at its limits (limits.destinations), or at fewer connections after it said 421. Grows with the queue: raise the limit, if the destination allows it.",
    )
    .with();
  const remembered = metrics
    .counter(
      "delivery_remembered_total",
      "Attempts saved because no host of the destination had answered lately; the mail is deferred all the same. Normal while a large destination is away.",
    )
    .with();
  metrics.gauge(
    "delivery_active",
    "Delivery jobs being worked on now. At postern_delivery_concurrency for long: the queue grows; run more workers, or raise delivery.concurrency while the processor is idle.",
    () => active,
  );
  metrics.gauge(
    "delivery_concurrency",
    "delivery.concurrency: how many jobs this process works on at once.",
    () => concurrency,
  );
  const steps = metrics.histogram(
    "delivery_step_seconds",
    "How long the steps of attempts take: admission (the wait for a connection within the limits), dns, connect, greeting (with EHLO), tls, transaction. dns slow: look at dns.servers; connect slow or failed for all: the gateway's own network; transaction slow: the remote servers.",
    secondsBuckets,
    ["step", "result"],
  );
  const transactions = metrics.counter(
    "delivery_transactions_total",
    "Mail transactions with remote servers by the TLS policy that was followed (none, may, require, verify, dane, mta-sts), the version of TLS that the session has (none: clear text), and whether the server proved its name.",
    ["policy", "tls", "verified"],
  );
  return {
    attempted({ steps: taken = [] }) {
      for (const { name, durationMs, failed, session } of taken) {
        steps.with(name, failed === true ? "failed" : "ok").observe(durationMs / 1000);
        if (session !== undefined) {
          transactions.with(session.policy, session.tls, session.verified ? "yes" : "no").add();
        }
      }
    },
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

/** @param reconciler  read at each scrape */
export function registerUnscheduled(metrics: Metrics, reconciler: { readonly left: number }): void {
  metrics.gauge(
    "unscheduled_messages",
    "Messages that wait in the spool until Redis has room for their jobs, as of the last comparison by the reconciler; 0 at all but the one that leads. Not 0 for long: raise maxmemory of Redis. No mail is lost.",
    () => reconciler.left,
  );
}
