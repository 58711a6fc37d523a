/** Enqueues success reports (RFC 3461 §5.2), and repeats until the bounce queue has them. Owns only those that are under way. */
import { setTimeout as wait } from "node:timers/promises";
import type { Logger } from "../runtime/log.ts";
import type { BounceJob } from "./contract/contract.ts";
import type { Producer } from "./contract/queue.ts";

export type SuccessReport = Extract<BounceJob, { kind: "relayed" | "delivered" }>;

export interface SuccessReportDeps {
  producer: Pick<Producer, "addBounce">;
  log: Logger;
  /** Between two tries; a second when absent. */
  repeatAfterMs?: number;
}

/**
 * No durable record says that a success report is pending: the delivery is recorded first, since delivering twice is
 * worse than reporting too little. Hence this repeats until `signal` aborts; it then tries a last time, and logs the
 * report as lost if that fails too.
 */
export async function enqueueSuccessReport(
  { producer, log, repeatAfterMs = 1000 }: SuccessReportDeps,
  report: SuccessReport,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const isLast = signal.aborted;
    try {
      return await producer.addBounce(report, 0);
    } catch (error) {
      if (isLast) {
        log.error(
          { err: error, id: report.id, job: report },
          "a success report could not be enqueued and is lost",
        );
        return;
      }
    }
    await wait(repeatAfterMs, undefined, { signal, ref: false }).catch(() => {});
  }
}

/** Success reports of a process that does not wait for them: one that answers a client. */
export interface SuccessReports {
  /** Enqueues in the background. */
  publish(report: SuccessReport): void;
  /** Gives up reports that a last try does not bring into the queue, and logs each of them. */
  close(): Promise<void>;
}

export function createSuccessReports(deps: SuccessReportDeps): SuccessReports {
  const closing = new AbortController();
  const underWay = new Set<Promise<void>>();
  return {
    publish(report) {
      const enqueued = enqueueSuccessReport(deps, report, closing.signal);
      underWay.add(enqueued);
      void enqueued.finally(() => underWay.delete(enqueued));
    },
    async close() {
      closing.abort();
      await Promise.all(underWay);
    },
  };
}
