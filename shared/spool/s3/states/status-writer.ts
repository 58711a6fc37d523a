/**
 * Records the states of recipients: all settlements of one interval share one object. A settlement that is recorded is on
 * stable storage, and every process can see it. Owns its timers and the write under way, until close().
 */
import { isFileSafeId } from "../../../mail/queue-id.ts";
import type { SpoolCounters } from "../../counters.ts";
import type { OnFault } from "../../fault.ts";
import type { LogicalClock } from "../../recipient-state.ts";
import { type StatusBatch, WaitingSettlements } from "../../records/status-batch.ts";
import { coalesced, Sequence } from "../../sequence.ts";
import { type Settlement, SpoolUnavailable } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import { storeError } from "../store/failures.ts";
import { statesKey, type WriterName } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface StatusWriterOptions {
  store: ObjectStore;
  writer: WriterName;
  index: StateIndex;
  clock: LogicalClock;
  batchMs: number;
  counters: SpoolCounters;
  onFault: OnFault;
  /** Hears of each object that was written, once its entries are in the index. */
  onWritten(key: string, bytes: number): void;
}

const retryAfterMs = 1000;
/** What the index has as the source of entries that could not be written yet. */
const memorySource = "unwritten";

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #waiting = new WaitingSettlements();
  /** The write of what waits, not begun yet, and what begins it before its time. */
  #nextWrite: { done: Promise<void>; begin(): void } | undefined;
  readonly #sequence = new Sequence();
  /** Could not be written; in the index, and written with the next batches. */
  #unwritten: StatusBatch[] = [];
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when every process can see the settlements. When it rejects, this process knows them all the same and
   * goes on trying to write them.
   * @throws SpoolFull, SpoolUnavailable, TypeError for what is no queue id
   */
  append(settlements: readonly Settlement[]): Promise<void> {
    const invalid = settlements.find(({ id }) => !isFileSafeId(id));
    if (invalid !== undefined) return Promise.reject(new TypeError(`not a queue id: ${invalid.id}`));
    return this.#writeSoon(() => this.#waiting.add(settlements));
  }

  /** As append(), for what a record or another object says already, with its timestamp: an old fact stays old. */
  appendRecorded(settlements: readonly Settlement[], timestamp: number): Promise<void> {
    return this.#writeSoon(() => this.#waiting.addRecorded(settlements, timestamp));
  }

  /** What was appended is on stable storage when its promise has resolved; for the interface that compaction needs. */
  async sync(): Promise<void> {
    await this.#nextWrite?.done;
  }

  /** Writes what could not be written before. @throws SpoolFull, SpoolUnavailable */
  readonly writeAgain: () => Promise<void> = coalesced(async () => {
    if (this.#closed) throw new SpoolUnavailable("the spool is closed");
    await this.#sequence.run(() => this.#write([]));
  });

  async close(): Promise<void> {
    this.#nextWrite?.begin();
    await this.#nextWrite?.done.catch(() => {});
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    await this.#sequence.run(() => this.#write([])).catch((error: unknown) => this.#report(error));
  }

  /** @returns the promise of the write that all settlements of this interval share */
  #writeSoon(add: () => void): Promise<void> {
    if (this.#closed) return Promise.reject(new SpoolUnavailable("the spool is closed"));
    add();
    this.#nextWrite ??= this.#scheduleWrite();
    return this.#nextWrite.done;
  }

  #scheduleWrite(): { done: Promise<void>; begin(): void } {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const begin = (): void => {
      clearTimeout(timer);
      this.#sequence
        .run(() => {
          // Whatever came until the write before had ended shares this one.
          if (this.#nextWrite === next) this.#nextWrite = undefined;
          return this.#write(this.#waiting.takeBatches(this.#options.clock));
        })
        .then(resolve, reject);
    };
    const timer = setTimeout(begin, this.#options.batchMs);
    const next = { done: promise, begin };
    return next;
  }

  /** Writes these batches, after those that could not be written before. */
  async #write(batches: StatusBatch[]): Promise<void> {
    const all = [...this.#unwritten, ...batches];
    if (all.length === 0) return;
    const { store, writer, index, counters, onWritten } = this.#options;
    const key = statesKey(writer.next());
    const octets = Buffer.concat(all.map(({ text }) => text));
    try {
      await store.put(key, octets);
    } catch (error) {
      this.#index(batches, memorySource);
      this.#unwritten = all;
      if (!this.#closed) this.#retryTimer ??= setTimeout(() => this.#retry(), retryAfterMs).unref();
      throw storeError(error, "settlements could not be recorded");
    }
    this.#index(all, key);
    index.dropSource(memorySource);
    this.#unwritten = [];
    counters.settleWrites++;
    for (const { entries } of all) counters.settlements += entries.length;
    onWritten(key, octets.length);
  }

  #index(batches: readonly StatusBatch[], source: string): void {
    const { index } = this.#options;
    for (const { entries } of batches) for (const { id, entry } of entries) index.apply(id, entry, source);
  }

  #retry(): void {
    this.#retryTimer = undefined;
    this.#sequence.run(() => this.#write([])).catch((error: unknown) => this.#report(error));
  }

  #report(error: unknown): void {
    this.#options.onFault({ kind: "background", doing: "recording settlements", error });
  }
}
