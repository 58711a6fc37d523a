/** The age of the oldest message to deliver, sampled in the background. Owns a timer; close() ends it. */

import { forEachPlace } from "../../shared/queue/operator/jobs.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { RedisConnection } from "../../shared/runtime/redis.ts";

export interface OldestMessage {
  /** Epoch milliseconds as of the last look; `undefined` when the queues were empty or not to be seen. */
  receivedAtMs(): number | undefined;
  close(): void;
}

const everyMs = 10_000;
/** While nothing is known: queues that are empty are quickly looked through. */
const whileEmptyMs = 1_000;
/** Looking through a million ids takes seconds: it may take up one part in so many of the time. */
const restFactor = 20;

export function watchOldestMessage(redis: RedisConnection, log: Logger): OldestMessage {
  let oldest: number | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const look = async (): Promise<void> => {
    const startedAt = performance.now();
    try {
      oldest = await findOldest(redis);
    } catch (error) {
      oldest = undefined;
      if (!closed) log.debug({ err: error }, "could not look for the oldest message");
    }
    if (closed) return;
    const restMs = (performance.now() - startedAt) * restFactor;
    timer = setTimeout(look, oldest === undefined ? whileEmptyMs : Math.max(everyMs, restMs));
    timer.unref();
  };
  void look();

  return {
    receivedAtMs: () => oldest,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Reads ids only: they begin with the time of acceptance. */
async function findOldest(redis: RedisConnection): Promise<number | undefined> {
  let oldest = "";
  for (const queue of ["delivery", "delivery-slow"] as const) {
    for (const status of ["active", "waiting", "deferred", "held"] as const) {
      await forEachPlace(redis, queue, status, async (places) => {
        for (const { jobId } of places) if (oldest === "" || jobId < oldest) oldest = jobId;
        return 0;
      });
    }
  }
  return oldest === "" ? undefined : queueIdTimeMs(oldest);
}

/** The first nine characters of a queue id are epoch milliseconds in base 32 (shared/mail/queue-id.ts). */
function queueIdTimeMs(id: string): number {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  let ms = 0;
  for (const character of id.slice(0, 9)) ms = ms * 32 + Math.max(0, alphabet.indexOf(character));
  return ms;
}
