/** Enqueues accepted messages in the background, as many at once as have come together. It owns nothing but its backlog. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { RouteSummary } from "../routing/route.ts";
import type { Logger } from "../runtime/log.ts";
import { settlesWithin } from "../runtime/with-timeout.ts";
import type { StoredMessage } from "../spool/spool.ts";
import type { Publisher } from "./contract/queue.ts";
import type { QueueProducer } from "./producer.ts";

type Entry = Parameters<QueueProducer["addDeliveries"]>[0][number];
type PublisherProducer = Pick<QueueProducer, "addDeliveries" | "requestScan">;

/** Messages in one call; more would keep Redis from its other clients. */
const batchSize = 500;
/** A message takes 1 to 2 KB here. What is beyond is only in the spool, where the reconciler finds it. */
const maxBacklog = 20_000;
const firstPauseMs = 100;
const longestPauseMs = 2_000;

/**
 * What a publisher loses (its process ended, or the backlog outgrew memory) the reconciler has to find in the spool.
 * The reconciler may be another process, on another host, that never lost Redis itself; so a publisher asks it for a
 * scan through Redis: when it starts, because of what the process before it may have lost, and after it dropped
 * messages, once Redis is back and the rest is enqueued.
 */
export function createPublisher(
  producer: PublisherProducer,
  log: Logger,
  limits: { maxBacklog: number } = { maxBacklog },
): Publisher {
  return new BackgroundPublisher(producer, log, limits.maxBacklog);
}

class BackgroundPublisher implements Publisher {
  readonly #producer: PublisherProducer;
  readonly #log: Logger;
  readonly #maxBacklog: number;
  #waiting: Entry[] = [];
  /** Messages in the call under way. */
  #underWay = 0;
  #scanIsDue = true;
  /** Messages dropped since the last scan that was asked for. */
  #dropped = 0;
  #running: Promise<void> | undefined;
  #endPause: () => void = () => {};
  #closed = false;

  constructor(producer: PublisherProducer, log: Logger, maxBacklog: number) {
    this.#producer = producer;
    this.#log = log;
    this.#maxBacklog = maxBacklog;
    this.#start();
  }

  get backlog(): number {
    return this.#waiting.length + this.#underWay;
  }

  publish(message: StoredMessage, routes: RouteSummary[]): void {
    if (this.#waiting.length >= this.#maxBacklog) this.#dropOldest();
    this.#waiting.push({ message, routes });
    this.#start();
  }

  async close(graceMs: number): Promise<void> {
    this.#endPause();
    if (this.#running) await settlesWithin(this.#running, graceMs);
    this.#closed = true;
    this.#endPause();
  }

  #dropOldest(): void {
    const excess = this.#waiting.length - this.#maxBacklog + 1;
    this.#waiting.splice(0, excess);
    if (this.#dropped === 0) {
      this.#log.warn({ backlog: this.#waiting.length }, "too much to enqueue; the oldest wait in the spool");
    }
    this.#dropped += excess;
    this.#scanIsDue = true;
  }

  #start(): void {
    if (this.#running !== undefined || this.#closed) return;
    // Messages accepted in the same turn of the event loop, as after a shared fdatasync, are enqueued together.
    this.#running = nextTurn().then(() => this.#run());
  }

  async #run(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!this.#closed && (this.#waiting.length > 0 || this.#scanIsDue)) {
      if (await this.#enqueueBatch()) {
        pauseMs = firstPauseMs;
        continue;
      }
      await this.#pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
    // At once, not when the promise settles: a message that is published in between must start another run.
    this.#running = undefined;
  }

  /** Enqueues what waits, and asks for a scan after the last of it. @returns whether Redis took it */
  async #enqueueBatch(): Promise<boolean> {
    const batch = this.#waiting.slice(0, batchSize);
    this.#waiting = this.#waiting.length > batchSize ? this.#waiting.slice(batchSize) : [];
    this.#underWay = batch.length;
    try {
      if (batch.length > 0) await this.#producer.addDeliveries(batch);
      this.#underWay = 0;
      if (this.#waiting.length === 0 && this.#scanIsDue) await this.#requestScan();
      return true;
    } catch (error) {
      const backlog = this.#waiting.length + batch.length;
      this.#log.debug({ err: error, backlog }, "could not enqueue; will repeat");
      // It may have arrived all the same, and a worker may have had it.
      for (const entry of batch) entry.redelivery = true;
      if (this.#underWay > 0) this.#waiting = [...batch, ...this.#waiting];
      this.#underWay = 0;
      return false;
    }
  }

  async #requestScan(): Promise<void> {
    await this.#producer.requestScan();
    this.#scanIsDue = false;
    if (this.#dropped > 0) {
      this.#log.info({ messages: this.#dropped }, "the reconciler will enqueue them from the spool");
    }
    this.#dropped = 0;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
