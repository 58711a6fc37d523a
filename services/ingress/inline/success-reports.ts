/** Success reports that are owed for inline deliveries, handed to the bounce queue. Owns nothing but those on their way. */
import type { BounceJob } from "../../../shared/queue/contract/contract.ts";
import type { Producer } from "../../../shared/queue/contract/queue.ts";
import type { Logger } from "../../../shared/runtime/log.ts";

export interface SuccessReports {
  /** Repeats until the queue has it, in the background. */
  publish(job: BounceJob): void;
  /** What is not in the queue by then is given up, and logged. */
  close(): void;
}

const repeatAfterMs = 1000;

/**
 * Nothing durable remembers that good news is owed: the delivery is recorded before it, since to deliver twice is worse
 * than to report too little. Delivery workers do the same.
 */
export function createSuccessReports(producer: Pick<Producer, "addBounce">, log: Logger): SuccessReports {
  const waiting = new Map<BounceJob, NodeJS.Timeout | undefined>();
  let isClosed = false;

  const send = (job: BounceJob): void => {
    waiting.set(job, undefined);
    producer.addBounce(job, 0).then(
      () => waiting.delete(job),
      (error: unknown) => {
        if (isClosed) giveUp(job, error);
        else waiting.set(job, setTimeout(() => send(job), repeatAfterMs).unref());
      },
    );
  };
  const giveUp = (job: BounceJob, error?: unknown): void => {
    waiting.delete(job);
    log.error({ err: error, id: job.id, job }, "a success report could not be enqueued and is lost");
  };

  return {
    publish: send,
    close() {
      isClosed = true;
      for (const [job, timer] of waiting) {
        if (timer === undefined) continue;
        clearTimeout(timer);
        giveUp(job);
      }
    },
  };
}
