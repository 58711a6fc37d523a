/** The age of the oldest message to deliver, sampled in the background. Owns a timer; close() ends it. */
import { queueIdTimeMs } from "../../shared/mail/queue-id.ts";
import { forEachJob } from "../../shared/queue/bullmq/job-places.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { RedisConnection } from "../../shared/runtime/redis.ts";

export interface OldestMessage {
  /** Epoch milliseconds, from the last sample; `undefined` when the queues were empty or could not be read. */
  receivedAtMs(): number | undefined;
  close(): void;
}

const everyMs = 10_000;
/** While the queues are empty, which is quick to find out. */
const everyWhileEmptyMs = 1_000;
/** Reading a million ids takes seconds: the pause after a sample is at least so many times as long as the sample took. */
const pauseFactor = 20;

export function watchOldestMessage(redis: RedisConnection, log: Logger): OldestMessage {
  let oldest: number | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const sample = async (): Promise<void> => {
    const startedAt = performance.now();
    try {
      oldest = await findOldest(redis);
    } catch (error) {
      oldest = undefined;
      if (!closed) log.debug({ err: error }, "could not find the oldest message");
    }
    if (closed) return;
    const pauseMs = (performance.now() - startedAt) * pauseFactor;
    timer = setTimeout(sample, oldest === undefined ? everyWhileEmptyMs : Math.max(everyMs, pauseMs));
    timer.unref();
  };
  void sample();

  return {
    receivedAtMs: () => oldest,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Reads ids only: a queue id begins with the time of acceptance. */
async function findOldest(redis: RedisConnection): Promise<number | undefined> {
  let oldest = "";
  for (const queue of ["delivery", "delivery-slow"] as const) {
    for (const status of ["active", "waiting", "deferred", "held"] as const) {
      await forEachJob(redis, queue, status, async (places) => {
        for (const { jobId } of places) if (oldest === "" || jobId < oldest) oldest = jobId;
        return 0;
      });
    }
  }
  return oldest === "" ? undefined : queueIdTimeMs(oldest);
}
