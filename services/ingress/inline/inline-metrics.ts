/** What inline delivery counts. */
import type { Metrics, Tally } from "../../../shared/runtime/metrics.ts";

export type InlineResult = "delivered" | "rejected" | "queued";

export class InlineMetrics {
  readonly #results: Record<InlineResult, Tally | undefined>;

  /** @param metrics  of the process; none: nothing is counted */
  constructor(metrics?: Metrics) {
    const recipients = metrics?.counter(
      "inline_recipients_total",
      "Recipients tried while the client waited: delivered, rejected by the far server, or left to the queue.",
      ["result"],
    );
    this.#results = {
      delivered: recipients?.with("delivered"),
      rejected: recipients?.with("rejected"),
      queued: recipients?.with("queued"),
    };
  }

  count(result: InlineResult, recipients: number): void {
    if (recipients > 0) this.#results[result]?.add(recipients);
  }
}
