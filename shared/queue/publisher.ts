/** Enqueues accepted messages in the background, as many at once as have come together. It owns nothing but its backlog. */
import type { RouteSummary } from "../routing/route.ts";
import type { Logger } from "../runtime/log.ts";
import type { StoredMessage } from "../spool/spool.ts";
import type { Publisher } from "./contract/queue.ts";
import type { QueueProducer } from "./producer.ts";

type Entry = Parameters<QueueProducer["addDeliveries"]>[0][number];

/** Messages in one call; more would hold Redis up for others. */
const batchSize = 500;
/** A message takes 1 to 2 KB here. Beyond this many the spool alone remembers, and the keeper finds them there. */
const maxBacklog = 20_000;
const firstPauseMs = 100;
const longestPauseMs = 2_000;

/**
 * What a publisher forgets (its process ended, or the backlog outgrew memory) the keeper has to find in the spool.
 * The keeper may be another process, on another host, that never lost Redis itself; so a publisher asks it for a
 * scan through Redis: when it starts, because of what its predecessor may have held, and after it has dropped
 * something, once Redis is back and the rest is in.
 */
export function createPublisher(
  producer: Pick<QueueProducer, "addDeliveries" | "requestScan">,
  log: Logger,
  limits: { maxBacklog: number } = { maxBacklog },
): Publisher {
  let waiting: Entry[] = [];
  let underWay = 0;
  let scanIsDue = true;
  let dropped = 0;
  let running = false;
  let closed = false;
  let endPause: (() => void) | undefined;
  let whenIdle: (() => void) | undefined;

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const run = async (): Promise<void> => {
    let pauseMs = firstPauseMs;
    while (!closed && (waiting.length > 0 || scanIsDue)) {
      const batch = waiting.slice(0, batchSize);
      waiting = waiting.length > batchSize ? waiting.slice(batchSize) : [];
      underWay = batch.length;
      try {
        if (batch.length > 0) await producer.addDeliveries(batch);
        underWay = 0;
        pauseMs = firstPauseMs;
        if (waiting.length === 0 && scanIsDue) {
          await producer.requestScan();
          scanIsDue = false;
          if (dropped > 0) log.info({ messages: dropped }, "the keeper will enqueue them from the spool");
          dropped = 0;
        }
      } catch (error) {
        log.debug({ err: error, backlog: waiting.length + batch.length }, "could not enqueue; will repeat");
        // It may have arrived nevertheless, and even have been worked on.
        for (const entry of batch) entry.redelivery = true;
        if (underWay > 0) waiting = [...batch, ...waiting];
        underWay = 0;
        await pause(pauseMs);
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
    running = false;
    whenIdle?.();
  };

  const start = (): void => {
    if (running || closed) return;
    running = true;
    // What is accepted in the same turn, as after a shared fdatasync, goes in together.
    setImmediate(() => void run());
  };

  start();
  return {
    publish(message: StoredMessage, routes: RouteSummary[]) {
      if (waiting.length >= limits.maxBacklog) {
        const excess = waiting.length - limits.maxBacklog + 1;
        waiting.splice(0, excess);
        if (dropped === 0)
          log.warn({ backlog: waiting.length }, "too much to enqueue; the oldest wait in the spool");
        dropped += excess;
        scanIsDue = true;
      }
      waiting.push({ message, routes });
      start();
    },
    get backlog() {
      return waiting.length + underWay;
    },
    async close(graceMs) {
      if (running) {
        endPause?.();
        await Promise.race([
          new Promise<void>((resolve) => {
            whenIdle = resolve;
          }),
          pause(graceMs),
        ]);
      }
      closed = true;
      endPause?.();
    },
  };
}
