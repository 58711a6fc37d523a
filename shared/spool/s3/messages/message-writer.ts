/**
 * Group commit: all records that come within one interval share one object, and one request.
 * Owns the timer of the interval and the writes under way, until close().
 */
import type { SpoolCounters } from "../../counters.ts";
import { BatchLayout, type PlacelessRecord } from "../../records/batch.ts";
import { type Locator, SpoolUnavailable } from "../../spool.ts";
import type { StorageWatch } from "../../storage-watch.ts";
import { messagesKey, type WriterName } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { LocalCache } from "./local-cache.ts";

interface WaitingRecord extends PlacelessRecord {
  /** It settles another message, which the name of its object has to say. */
  settling: boolean;
  resolve(locator: Locator): void;
  reject(error: unknown): void;
}

export interface MessageWriterOptions {
  store: ObjectStore;
  cache: LocalCache;
  writer: WriterName;
  watch: Pick<StorageWatch, "watch">;
  batchMs: number;
  batchBytes: number;
  counters: SpoolCounters;
}

/** Requests that write messages at the same time; records wait for one of them to end. */
const mostAtOnce = 8;

export class MessageWriter {
  readonly #options: MessageWriterOptions;
  readonly #layout = new BatchLayout();
  #waiting: WaitingRecord[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The interval is over, and the next write begins when one has ended. */
  #isDue = false;
  readonly #writes = new Set<Promise<void>>();
  /** Nothing waits for others any more. */
  #hurried = false;
  #closed = false;

  constructor(options: MessageWriterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the record is in the store.
   * @param bytes  of the record
   * @throws StoreFailure with its outcome, SpoolUnavailable
   */
  append(record: PlacelessRecord, bytes: number, settling: boolean): Promise<Locator> {
    if (this.#closed) return Promise.reject(new SpoolUnavailable("the spool is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...record, settling, resolve, reject });
      this.#waitingBytes += bytes;
      if (this.#hurried || this.#waitingBytes >= this.#options.batchBytes) this.#beginWrite();
      else this.#timer ??= setTimeout(() => this.#beginWrite(), this.#options.batchMs);
    });
  }

  /** From now on records are written at once, since the spool closes. */
  hurry(): void {
    this.#hurried = true;
    this.#beginWrite();
  }

  /** Writes what waits, and resolves when all writes have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#waiting.length > 0 || this.#writes.size > 0) {
      this.#beginWrite();
      await Promise.race(this.#writes);
    }
  }

  #beginWrite(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isDue = this.#writes.size >= mostAtOnce;
    if (this.#isDue || this.#waiting.length === 0) return;
    const records = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const write = this.#write(records).finally(() => {
      this.#writes.delete(write);
      if (this.#isDue) this.#beginWrite();
    });
    this.#writes.add(write);
  }

  async #write(records: readonly WaitingRecord[]): Promise<void> {
    const { store, cache, writer, watch, counters } = this.#options;
    const key = messagesKey(writer.next(records.some(({ settling }) => settling)));
    const { pieces, locators } = this.#layout.lay(records, key, 0);
    const octets = Buffer.concat(pieces);
    try {
      // The copy is there before anybody can ask for it.
      const copied = cache.add(key, octets);
      await watch.watch("writing messages", () => store.put(key, octets));
      await copied;
    } catch (error) {
      await cache.remove(key);
      for (const { reject } of records) reject(error);
      return;
    }
    counters.batches++;
    counters.segmentsOpened++;
    counters.commits += records.length;
    counters.largestBatch = Math.max(counters.largestBatch, records.length);
    counters.bytesWritten += octets.length;
    for (const [index, { resolve, reject }] of records.entries()) {
      const locator = locators[index];
      if (locator === undefined) reject(new Error("a record without a place"));
      else resolve(locator);
    }
  }
}
