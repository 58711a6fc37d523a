/**
 * Keeps the index of queued mail current: a scan every few seconds, never for long without a pause, and before an answer
 * where the queues are short. Owns a timer; close() ends it. Connections are the caller's.
 */
import { getHeapStatistics } from "node:v8";
import type { Logger } from "../../runtime/log.ts";
import { settlesWithin } from "../../runtime/with-timeout.ts";
import type { KnownShards } from "../../shards/known-shards.ts";
import { forEachPlace, type OrderedPlace } from "../bullmq/all-places.ts";
import { type ListedQueue, readPayloads } from "../bullmq/job-places.ts";
import { replacedSince } from "../bullmq/replace-payloads.ts";
import { parseDeliveryJob } from "../contract/contract.ts";
import { parseDeadJob } from "../contract/dead-job.ts";
import { type IndexedPayload, MailIndex } from "./mail-index.ts";

/** How current the index is. */
export interface IndexState {
  /** When the last whole scan ended, in epoch milliseconds; `undefined`: none has. */
  asOfMs: number | undefined;
  indexed: number;
  /** Jobs that there is no room for. */
  skipped: number;
}

/** So few jobs are looked at before each answer, which is exact then. */
const exactUpTo = 2_000;
/**
 * Pauses between scans: while operators ask, and while nobody does. A first scan of a long queue takes many times as long as
 * those that follow it.
 */
const pause = {
  asked: { leastMs: 1_000, factor: 10, mostMs: 20_000 },
  idle: { leastMs: 2_000, factor: 40, mostMs: 60_000 },
};
const askedForMs = 120_000;
const retryMs = 2_000;
/** How long an answer waits for the first scan. */
const firstScanMs = 8_000;
const payloadsAtOnce = 500;
/** Between this process and another one that changes payloads. */
const clockSkewMs = 10_000;
/** A job in the index takes about so much of the heap, of which the index takes a third at most. */
const octetsPerJob = 700;
const heapShare = 1 / 3;

export class IndexRefresher {
  readonly index = new MailIndex(
    Math.floor((getHeapStatistics().heap_size_limit * heapShare) / octetsPerJob),
  );
  readonly #shards: KnownShards;
  readonly #log: Logger;
  #scan: Promise<void> | undefined;
  #asOfMs: number | undefined;
  #wasWhole = true;
  #tookMs = 0;
  /** When the last scan began, in epoch milliseconds. */
  #startedMs = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(shards: KnownShards, log: Logger) {
    this.#shards = shards;
    this.#log = log;
  }

  get state(): IndexState {
    return { asOfMs: this.#asOfMs, indexed: this.index.size, skipped: this.index.skipped };
  }

  /** Begins to scan in the background. */
  start(): void {
    if (this.#isClosed || this.#timer !== undefined) return;
    this.#schedule(0);
  }

  /**
   * Resolves when the index can answer: brought up to date where the queues are short, else as of the last scan.
   * @returns false when the first scan has not ended yet
   * @throws Error of Redis, where the index had to ask it
   */
  async ready(): Promise<boolean> {
    this.#askedMs = performance.now();
    if (this.#asOfMs !== undefined && (!this.#wasWhole || this.index.size > exactUpTo)) {
      this.start();
      return true;
    }
    // A scan that is under way may have passed what has changed since.
    if (this.#scan !== undefined) await settlesWithin(this.#scan, firstScanMs);
    const scan = this.#scan ?? this.#startScan();
    this.start();
    if (await settlesWithin(scan, firstScanMs)) await scan;
    return this.#asOfMs !== undefined;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #schedule(afterMs: number): void {
    this.#timer = setTimeout(async () => {
      try {
        await (this.#scan ?? this.#startScan());
        const isAsked = performance.now() - this.#askedMs < askedForMs;
        if (!this.#isClosed) this.#schedule(pauseAfter(this.#tookMs, isAsked));
      } catch (error) {
        if (this.#isClosed) return;
        this.#log.debug({ err: error }, "could not bring the index of the queues up to date");
        this.#schedule(retryMs);
      }
    }, afterMs);
    this.#timer.unref();
  }

  #startScan(): Promise<void> {
    this.#scan = this.#runScan().finally(() => {
      this.#scan = undefined;
    });
    return this.#scan;
  }

  async #runScan(): Promise<void> {
    const startedMs = performance.now();
    const nowMs = Date.now();
    await this.#shards.loaded;
    const shards = this.#shards.all;
    for (const shard of shards) {
      for (const jobId of await replacedSince(shard, this.#startedMs - clockSkewMs)) this.index.forget(jobId);
    }
    this.#startedMs = nowMs;
    this.index.beginScan();
    let isWhole = true;
    for (const shard of shards) {
      const isShardWhole = await forEachPlace(shard, async (places) => {
        if (this.#isClosed) throw new Error("the index is closed");
        await this.#readMissing(places.filter((place) => this.index.see(place)));
      });
      isWhole &&= isShardWhole;
    }
    this.#wasWhole = isWhole;
    this.index.endScan();
    this.#asOfMs = Date.now();
    this.#tookMs = performance.now() - startedMs;
  }

  async #readMissing(places: OrderedPlace[]): Promise<void> {
    for (let start = 0; start < places.length; start += payloadsAtOnce) {
      const some = places.slice(start, start + payloadsAtOnce);
      const found = new Map<string, IndexedPayload>();
      for (const { place, payload } of await readPayloads(this.#shards, some)) {
        const read = readPayload(place.queue, payload);
        if (read !== undefined) found.set(`${place.queue} ${place.jobId}`, read);
      }
      for (const place of some) {
        const payload = found.get(`${place.queue} ${place.jobId}`);
        if (payload === undefined) this.index.drop(place);
        else this.index.put(place, payload);
      }
    }
  }
}

/** In milliseconds. Pure. @param tookMs  of the scan that has ended */
export function pauseAfter(tookMs: number, isAsked: boolean): number {
  const { leastMs, factor, mostMs } = isAsked ? pause.asked : pause.idle;
  return Math.min(mostMs, Math.max(leastMs, tookMs * factor));
}

function readPayload(queue: ListedQueue, payload: unknown): IndexedPayload | undefined {
  if (queue === "dead") {
    const dead = parseDeadJob(payload);
    return dead && { job: dead.job, dead };
  }
  const job = parseDeliveryJob(payload);
  return job && { job };
}
