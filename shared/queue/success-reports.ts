/**
 * Enqueues reports of success (RFC 3461 §5.2) for a process that answers a client and does not wait for the queue. Owns
 * only those that are under way.
 */
import type { Logger } from "../runtime/log.ts";
import type { StoredMessage } from "../spool/spool.ts";
import { sharedBounce } from "./contract/delivery-job.ts";
import type { Producer } from "./contract/queue.ts";

export interface SuccessReports {
  /** Enqueues the report of a message whose states say that it is pending. */
  publish(message: StoredMessage): void;
  /** Resolves when none is under way. */
  close(): Promise<void>;
}

export function createSuccessReports({
  producer,
  log,
}: {
  producer: Pick<Producer, "addBounce">;
  log: Logger;
}): SuccessReports {
  const underWay = new Set<Promise<void>>();
  return {
    publish({ meta: { id }, locator }) {
      const enqueued = producer.addBounce(sharedBounce("succeeded", id, locator), 0).catch((error) => {
        // The spool remembers it: the reconciler enqueues what the queue lacks.
        log.warn({ err: error, id }, "a success report waits for the reconciler to enqueue it");
      });
      underWay.add(enqueued);
      void enqueued.finally(() => underWay.delete(enqueued));
    },
    async close() {
      await Promise.all(underWay);
    },
  };
}
