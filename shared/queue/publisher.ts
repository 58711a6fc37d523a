/** Enqueues accepted messages in the background, as many at once as have come together. It owns nothing but its backlog. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { RouteSummary } from "../routing/route.ts";
import type { Logger } from "../runtime/log.ts";
import type { Tracing } from "../runtime/tracing.ts";
import { settlesWithin } from "../runtime/with-timeout.ts";
import type { StoredMessage } from "../spool/spool.ts";
import { Batch, exceeds, type Load, loadOf, minus, noLoad, plus } from "./contract/batches.ts";
import type { Publisher } from "./contract/queue.ts";
import type { QueueProducer } from "./producer.ts";
import type { PublisherMetrics } from "./publisher-metrics.ts";

type PublisherProducer = Pick<QueueProducer, "addDeliveries" | "requestScan">;

interface Entry {
  message: StoredMessage;
  routes: RouteSummary[];
  load: Load;
  /** Of a message that is traced: when it was published, epoch milliseconds. */
  atMs?: number;
}

/** A message to one recipient takes 1.5 KB here. What is beyond is only in the spool, where the reconciler finds it. */
const backlogLimit: Load = { jobs: 50_000, octets: 64 * 2 ** 20 };
const firstPauseMs = 100;
const longestPauseMs = 2_000;
/** What is not in Redis by then is in the spool, where the reconciler finds it. */
const longestCloseMs = 3_000;

/**
 * What a publisher loses (its process ended, or the backlog outgrew memory) the reconciler has to find in the spool.
 * The reconciler may be another process, on another host, that never lost Redis itself; so a publisher asks it for a
 * scan through Redis: when it starts, because of what the process before it may have lost, and after it dropped
 * messages, once Redis is back and the rest is enqueued.
 */
export function createPublisher(
  producer: PublisherProducer,
  log: Logger,
  limit: Load = backlogLimit,
  metrics?: PublisherMetrics,
  tracing?: Tracing,
): Publisher {
  const publisher = new BackgroundPublisher(producer, log, limit, metrics, tracing);
  metrics?.watch(publisher);
  return publisher;
}

class BackgroundPublisher implements Publisher {
  readonly #producer: PublisherProducer;
  readonly #log: Logger;
  readonly #limit: Load;
  readonly #metrics: PublisherMetrics | undefined;
  readonly #tracing: Tracing | undefined;
  #waiting: Entry[] = [];
  /** Of those that wait. */
  #load = noLoad;
  /** Messages in the call under way. */
  #underWay = 0;
  /**
   * A call has failed, and the backlog has not been empty since. What waits here may be known to the workers: the call
   * may have arrived all the same, and when Redis is back the reconciler enqueues from the spool what the queues lack.
   */
  #mayBeKnown = false;
  #scanIsDue = true;
  /** Messages dropped since the last scan that was asked for. */
  #dropped = 0;
  #running: Promise<void> | undefined;
  #endPause: () => void = () => {};
  /** close() was called: what waits is tried again for a while. */
  #closing = false;
  #closed = false;

  constructor(
    producer: PublisherProducer,
    log: Logger,
    limit: Load,
    metrics: PublisherMetrics | undefined,
    tracing: Tracing | undefined,
  ) {
    this.#metrics = metrics;
    this.#tracing = tracing;
    this.#producer = producer;
    this.#log = log;
    this.#limit = limit;
    this.#start();
  }

  get backlog(): number {
    return this.#waiting.length + this.#underWay;
  }

  publish(message: StoredMessage, routes: RouteSummary[]): void {
    const load = loadOf(message);
    const isTraced = this.#tracing !== undefined && message.meta.traceparent !== undefined;
    this.#waiting.push({ message, routes, load, ...(isTraced ? { atMs: Date.now() } : {}) });
    this.#load = plus(this.#load, load);
    this.#dropBeyondLimit();
    this.#start();
  }

  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    this.#endPause();
    if (this.#running) await settlesWithin(this.#running, Math.min(graceMs, longestCloseMs));
    this.#closed = true;
    this.#endPause();
  }

  /** Drops the oldest, but never the newest. */
  #dropBeyondLimit(): void {
    let load = this.#load;
    let excess = 0;
    while (exceeds(load, this.#limit) && excess < this.#waiting.length - 1) {
      load = minus(load, this.#waiting[excess]?.load ?? noLoad);
      excess++;
    }
    if (excess === 0) return;
    this.#waiting.splice(0, excess);
    this.#load = load;
    if (this.#dropped === 0) {
      this.#log.warn({ backlog: this.#waiting.length }, "too much to enqueue; the oldest wait in the spool");
    }
    this.#dropped += excess;
    this.#metrics?.dropped(excess);
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
      // The next publisher asks for a scan at its start.
      if (this.#closing && this.#waiting.length === 0) break;
      await this.#pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
    // At once, not when the promise settles: a message that is published in between must start another run.
    this.#running = undefined;
  }

  /** Enqueues the first that wait, and asks for a scan after the last of them. @returns whether Redis took it */
  async #enqueueBatch(): Promise<boolean> {
    const batch = this.#takeBatch();
    this.#underWay = batch.length;
    const redelivery = this.#mayBeKnown;
    const begunMs = performance.now();
    try {
      if (batch.length > 0) {
        await this.#producer.addDeliveries(
          batch.map(({ message, routes }) => ({ message, routes, redelivery })),
        );
        this.#metrics?.enqueued(batch.length, (performance.now() - begunMs) / 1000);
        if (this.#tracing !== undefined) traceEnqueued(this.#tracing, batch, Date.now());
      }
      this.#underWay = 0;
      if (this.#waiting.length > 0) return true;
      this.#mayBeKnown = false;
      if (this.#scanIsDue) await this.#requestScan();
      return true;
    } catch (error) {
      const backlog = this.#waiting.length + this.#underWay;
      this.#log.debug({ err: error, backlog }, "could not enqueue; will repeat");
      this.#mayBeKnown = true;
      this.#metrics?.failed();
      if (this.#underWay > 0) this.#putBack(batch);
      this.#underWay = 0;
      return false;
    }
  }

  #takeBatch(): Entry[] {
    const batch = new Batch<Entry>();
    for (const entry of this.#waiting) if (!batch.add(entry, entry.load)) break;
    const taken = batch.take();
    this.#waiting = this.#waiting.slice(taken.length);
    for (const { load } of taken) this.#load = minus(this.#load, load);
    return taken;
  }

  #putBack(batch: readonly Entry[]): void {
    this.#waiting = [...batch, ...this.#waiting];
    for (const { load } of batch) this.#load = plus(this.#load, load);
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

function traceEnqueued(tracing: Tracing, batch: readonly Entry[], nowMs: number): void {
  for (const { message, atMs } of batch) {
    const { id, parts, traceparent } = message.meta;
    if (atMs === undefined || traceparent === undefined) continue;
    tracing
      .startSpan("enqueue", traceparent, atMs, { "postern.id": id, "postern.jobs": parts.length })
      ?.end(nowMs);
  }
}
