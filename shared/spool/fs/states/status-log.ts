/**
 * Records the states of recipients: all settlements of one turn of the event loop share one write.
 * Visible to other processes when the write has returned, on stable storage within a second.
 * Owns the log that it writes to and its timers, until close().
 */
import { isFileSafeId } from "../../../mail/queue-id.ts";
import type { SpoolCounters } from "../../counters.ts";
import type { LogicalClock } from "../../recipient-state.ts";
import { type StatusBatch, WaitingSettlements } from "../../records/status-batch.ts";
import { coalesced, Sequence } from "../../sequence.ts";
import { type Settlement, SpoolUnavailable } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import { spoolError } from "../disk/files.ts";
import { unlessFenced, type WriterHeartbeat } from "../writers/heartbeat.ts";
import { StatusLogFile, type StatusLogFileOptions } from "./status-log-file.ts";

export interface StatusLogOptions extends StatusLogFileOptions {
  heartbeat: WriterHeartbeat;
  index: StateIndex;
  clock: LogicalClock;
  /** A log that has grown to this is closed. */
  logBytes: number;
  /** A log with entries is closed at this age. */
  logAgeMs: number;
  counters: SpoolCounters;
}

/** A machine that fails may repeat the deliveries of its last second at most. Half of it leaves time for the disk. */
const syncAfterMs = 500;
const retryAfterMs = 1000;
/** A second write when the log failed or this process was fenced. */
const writeAttempts = 2;
/** What the index has as the source of entries that could not be written yet. */
const memorySource = "unwritten";

export class StatusLog {
  readonly #options: StatusLogOptions;
  readonly #waiting = new WaitingSettlements();
  /** The write of what waits, not begun yet. */
  #nextWrite: Promise<void> | undefined;
  /** Writes and syncs follow one another. */
  readonly #sequence = new Sequence();
  #file: StatusLogFile | undefined;
  /** Could not be written; in the index, and written with the next batches. */
  #unwritten: StatusBatch[] = [];
  #syncTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: StatusLogOptions) {
    this.#options = options;
  }

  /**
   * Resolves when every process can see the settlements. When it rejects, this process knows them all the same and
   * goes on trying to write them: a full disk must not cause a second delivery.
   * @throws SpoolFull, SpoolUnavailable, TypeError for what is no queue id
   */
  append(settlements: readonly Settlement[]): Promise<void> {
    const invalid = settlements.find(({ id }) => !isFileSafeId(id));
    if (invalid !== undefined) return Promise.reject(new TypeError(`not a queue id: ${invalid.id}`));
    return this.#writeSoon(() => this.#waiting.add(settlements));
  }

  /** As append(), for what a record or another log says already, with its timestamp: an old fact stays old. */
  appendRecorded(settlements: readonly Settlement[], timestamp: number): Promise<void> {
    return this.#writeSoon(() => this.#waiting.addRecorded(settlements, timestamp));
  }

  /** Writes what could not be written before. @throws SpoolFull, SpoolUnavailable */
  readonly writeAgain: () => Promise<void> = coalesced(async () => {
    if (this.#closed) throw new SpoolUnavailable("the spool is closed");
    await this.#sequence.run(() => this.#write([]));
  });

  /** Resolves when all that was appended is on stable storage. */
  sync(): Promise<void> {
    return this.#sequence.run(() => this.#sync());
  }

  /** Closes the log when it is old enough; to be called every second or so. */
  closeOldLog(): void {
    this.#inBackground(async () => {
      const file = this.#file;
      if (file === undefined || file.length === 0) return;
      if (this.#options.monotonicMs() - file.createdAtMs >= this.#options.logAgeMs) await this.#finish(file);
    });
  }

  async close(): Promise<void> {
    await this.#nextWrite?.catch(() => {});
    this.#closed = true;
    clearTimeout(this.#syncTimer);
    clearTimeout(this.#retryTimer);
    await this.#sequence.run(async () => {
      await this.#write([]).catch((error: unknown) => this.#report(error));
      if (this.#file !== undefined) await this.#finish(this.#file);
    });
  }

  /** @returns the promise of the write that all settlements of this turn share */
  #writeSoon(add: () => void): Promise<void> {
    if (this.#closed) return Promise.reject(new SpoolUnavailable("the spool is closed"));
    add();
    this.#nextWrite ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#nextWrite = undefined;
        this.#sequence
          .run(() => this.#write(this.#waiting.takeBatches(this.#options.clock)))
          .then(resolve, reject);
      });
    });
    return this.#nextWrite;
  }

  /** Writes these batches, after those that could not be written before. */
  async #write(batches: StatusBatch[]): Promise<void> {
    const all = [...this.#unwritten, ...batches];
    if (all.length === 0) return;
    try {
      const file = await this.#writeToSomeFile(all);
      this.#index(all, file.name);
      this.#options.index.dropSource(memorySource);
      this.#unwritten = [];
      this.#syncTimer ??= setTimeout(() => this.#inBackground(() => this.#sync()), syncAfterMs).unref();
      if (file.length >= this.#options.logBytes) await this.#finish(file);
    } catch (error) {
      this.#index(batches, memorySource);
      this.#unwritten = all;
      if (!this.#closed) this.#retryTimer ??= setTimeout(() => this.#retry(), retryAfterMs).unref();
      throw spoolError(error, "settlements could not be recorded");
    }
  }

  #index(batches: readonly StatusBatch[], source: string): void {
    const { index } = this.#options;
    for (const { entries } of batches) for (const { id, entry } of entries) index.apply(id, entry, source);
  }

  /** A log that fails is replaced by another one, once. */
  async #writeToSomeFile(batches: StatusBatch[]): Promise<StatusLogFile> {
    const file = await unlessFenced(writeAttempts, (attempt) => {
      const written = this.#tryWrite(batches);
      return attempt < writeAttempts ? written.catch(() => undefined) : written;
    });
    this.#options.counters.settleWrites++;
    for (const { entries } of batches) this.#options.counters.settlements += entries.length;
    return file;
  }

  /** @returns undefined when this process was fenced meanwhile */
  async #tryWrite(batches: StatusBatch[]): Promise<StatusLogFile | undefined> {
    const file = await this.#usableFile();
    try {
      await file.write(batches);
      if (await this.#options.heartbeat.isFenced(file.parsedName.writer)) {
        await this.#abandon(file);
        return undefined;
      }
    } catch (error) {
      // The rest of an incomplete batch is no batch; the next one goes to another log.
      await this.#abandon(file);
      throw error;
    }
    file.acknowledge(batches);
    return file;
  }

  async #usableFile(): Promise<StatusLogFile> {
    const { heartbeat } = this.#options;
    if (this.#file !== undefined && heartbeat.isCurrent(this.#file.parsedName.writer)) return this.#file;
    if (this.#file !== undefined) await this.#abandon(this.#file);
    const writer = await heartbeat.name();
    const parsedName = { writer, openedMs: heartbeat.nextOpenedMs(), settling: false };
    this.#file = await StatusLogFile.create(this.#options, parsedName);
    return this.#file;
  }

  async #sync(): Promise<void> {
    clearTimeout(this.#syncTimer);
    this.#syncTimer = undefined;
    const file = this.#file;
    if (file === undefined || !file.hasUnsynced) return;
    try {
      await file.sync();
    } catch (error) {
      // As with segments, a file whose fdatasync failed is not trusted again: its last second goes to another log.
      const unsynced = file.takeUnsynced();
      await this.#abandon(file);
      await this.#write(unsynced);
      throw spoolError(error, "settlements could not be made durable");
    }
  }

  #retry(): void {
    this.#retryTimer = undefined;
    this.#inBackground(() => this.#write([]));
  }

  /** Makes the log durable and closes it. */
  async #finish(file: StatusLogFile): Promise<void> {
    await this.#sync().catch((error: unknown) => this.#report(error));
    if (this.#file === file) await this.#abandon(file);
  }

  async #abandon(file: StatusLogFile): Promise<void> {
    if (this.#file === file) this.#file = undefined;
    await file.close();
    this.#options.heartbeat.announceFinished("log", file.parsedName);
  }

  #inBackground(work: () => Promise<void>): void {
    this.#sequence.run(work).catch((error: unknown) => this.#report(error));
  }

  #report(error: unknown): void {
    this.#options.onFault({ kind: "background", doing: "recording settlements", error });
  }
}
