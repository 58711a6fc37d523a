/**
 * Records what became of recipients: all settlements of one turn of the event loop share one write.
 * Visible to other processes when the write has returned, on stable storage within a second.
 * Owns the log that it writes to, until close().
 */
import { join } from "node:path";
import { isFileSafeId } from "../../../mail/queue-id.ts";

import type { LogicalClock } from "../../recipient-state.ts";
import { type Settlement, SpoolUnavailable } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import type { SpoolCounters } from "../disk/counters.ts";
import type { OnFault } from "../disk/fault.ts";
import {
  closeFile,
  done,
  openFile,
  removeFile,
  type SpoolFiles,
  spoolError,
  syncDirectory,
  writeFully,
} from "../disk/files.ts";
import { type NumberedName, numberedName } from "../disk/names.ts";
import type { OwnWriter } from "../writers/own-writer.ts";
import { makeBatch, type SettleBatch } from "./status-batch.ts";
import { formatLine } from "./status-format.ts";

interface OpenLog {
  fd: number;
  name: string;
  file: NumberedName;
  length: number;
  /** Its name is durable. */
  named: boolean;
  /** Written, and not known to be on stable storage: written again elsewhere when fdatasync fails. */
  unsynced: SettleBatch[];
}

export interface SettleLogOptions {
  files: SpoolFiles;
  directory: string;
  writer: OwnWriter;
  index: StateIndex;
  clock: LogicalClock;
  /** A log that has grown to this is closed. */
  logBytes: number;
  /** A log with entries is closed at this age. */
  logAgeMs: number;
  counters: SpoolCounters;
  onFault: OnFault;
  nowMs: () => number;
}

/** Design: a lost machine repeats at most the last second's deliveries. Half of it leaves time for the disk. */
const syncAfterMs = 500;
const retryAfterMs = 1000;
/** The index's source of what could not be written yet. */
const memorySource = "unwritten";

export class SettleLog {
  readonly #options: SettleLogOptions;
  #lines = "";
  #settlements: Settlement[] = [];
  #ready: SettleBatch[] = [];
  #turn: Promise<void> | undefined;
  /** Could not be written; kept, applied in this process, and tried again. */
  #unwritten: SettleBatch[] = [];
  #log: OpenLog | undefined;
  /** Writes and syncs follow one another. */
  #chain: Promise<void> = Promise.resolve();
  #syncTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: SettleLogOptions) {
    this.#options = options;
  }

  /**
   * Resolves when every process can see it. When it rejects, this process knows it all the same and goes on
   * trying to write it: what was delivered is not delivered again because the disk is full.
   * @throws SpoolFull, SpoolUnavailable
   */
  append(settlements: readonly Settlement[], timestamp?: number): Promise<void> {
    if (this.#closed) return Promise.reject(new SpoolUnavailable("the spool is closed"));
    if (timestamp === undefined) {
      for (const settlement of settlements) {
        if (!isFileSafeId(settlement.id))
          return Promise.reject(new TypeError(`not a queue id: ${settlement.id}`));
        this.#lines += formatLine(settlement);
        this.#settlements.push(settlement);
      }
    } else {
      this.#ready.push(makeBatch(settlements, timestamp));
    }
    this.#turn ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#turn = undefined;
        this.#chained(() => this.#flush()).then(resolve, reject);
      });
    });
    return this.#turn;
  }

  /** Resolves when all that was appended is on stable storage. */
  sync(): Promise<void> {
    return this.#chained(() => this.#sync());
  }

  /** Closes the log if it is old enough; to be called now and then. */
  tick(): void {
    void this.#chained(async () => {
      const log = this.#log;
      if (log === undefined || log.length === 0) return;
      if (this.#options.nowMs() - log.file.openedMs >= this.#options.logAgeMs) await this.#finish(log);
    }).catch((error: unknown) => this.#report(error));
  }

  async close(): Promise<void> {
    await this.#turn?.catch(() => {});
    this.#closed = true;
    clearTimeout(this.#syncTimer);
    clearTimeout(this.#retryTimer);
    await this.#chained(async () => {
      if (this.#unwritten.length > 0) await this.#write([]).catch((error: unknown) => this.#report(error));
      if (this.#log !== undefined) await this.#finish(this.#log);
    });
  }

  #chained<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#chain.then(work);
    this.#chain = run.then(
      () => {},
      () => {},
    );
    return run;
  }

  /** Writes all that waits. Its stamp is made now, so that stamps rise within a log. */
  async #flush(): Promise<void> {
    const batches = this.#ready;
    this.#ready = [];
    if (this.#settlements.length > 0) {
      const timestamp = this.#options.clock.next();
      batches.push(makeBatch(this.#settlements, timestamp, this.#lines));
      this.#lines = "";
      this.#settlements = [];
    }
    await this.#write(batches);
  }

  async #write(batches: SettleBatch[]): Promise<void> {
    const { counters, index } = this.#options;
    const all = this.#unwritten.length === 0 ? batches : [...this.#unwritten, ...batches];
    if (all.length === 0) return;
    try {
      // A second time when the log failed or this process was taken for dead.
      let log = await this.#tryWrite(all).catch(() => undefined);
      log ??= await this.#tryWrite(all);
      if (log === undefined) throw new SpoolUnavailable("other processes keep taking this one for dead");
      for (const { entries } of all) {
        counters.settlements += entries.length;
        for (const { id, entry } of entries) index.apply(id, entry, log.name);
      }
      if (this.#unwritten.length > 0) index.dropSource(memorySource);
      this.#unwritten = [];
      this.#syncTimer ??= setTimeout(() => this.#syncInBackground(), syncAfterMs).unref();
      if (log.length >= this.#options.logBytes) await this.#finish(log);
    } catch (error) {
      for (const { entries } of batches)
        for (const { id, entry } of entries) index.apply(id, entry, memorySource);
      this.#unwritten = all;
      if (!this.#closed) this.#retryTimer ??= setTimeout(() => this.#retry(), retryAfterMs).unref();
      throw spoolError(error, "settlements could not be recorded");
    }
  }

  /** Undefined when what was written does not count. */
  async #tryWrite(batches: SettleBatch[]): Promise<OpenLog | undefined> {
    const { files, writer, counters } = this.#options;
    const log = await this.#usableLog();
    const text = batches.map((batch) => batch.text);
    const octets = text.reduce((sum, piece) => sum + piece.length, 0);
    try {
      await writeFully(files, log.fd, text, log.length);
      if (!(await writer.stillCounts(log.file.writer))) {
        await this.#abandon(log);
        return undefined;
      }
    } catch (error) {
      // What half a batch left behind is no batch; the next one goes to another log.
      await this.#abandon(log);
      throw error;
    }
    log.length += octets;
    log.unsynced.push(...batches);
    counters.settleWrites++;
    return log;
  }

  async #usableLog(): Promise<OpenLog> {
    const { files, directory, writer } = this.#options;
    if (this.#log !== undefined && writer.isCurrent(this.#log.file.writer)) return this.#log;
    if (this.#log !== undefined) await this.#abandon(this.#log);
    const file = { writer: await writer.name(), openedMs: writer.openedMs(), settling: false };
    const name = numberedName(file);
    const fd = await openFile(files, join(directory, `${name}.log`), "wx");
    this.#log = { fd, name, file, length: 0, named: false, unsynced: [] };
    return this.#log;
  }

  async #sync(): Promise<void> {
    clearTimeout(this.#syncTimer);
    this.#syncTimer = undefined;
    const { files, directory } = this.#options;
    const log = this.#log;
    if (log === undefined || log.unsynced.length === 0) return;
    try {
      await done((end) => files.fdatasync(log.fd, end));
      if (!log.named) await syncDirectory(files, directory);
      log.named = true;
      log.unsynced = [];
    } catch (error) {
      // As with segments, a file whose fdatasync failed is not trusted again: its last second is written anew.
      const lost = log.unsynced;
      log.unsynced = [];
      await this.#abandon(log);
      await this.#write(lost);
      throw spoolError(error, "settlements could not be made durable");
    }
  }

  #syncInBackground(): void {
    this.sync().catch((error: unknown) => this.#report(error));
  }

  #retry(): void {
    this.#retryTimer = undefined;
    void this.#chained(() => this.#write([])).catch((error: unknown) => this.#report(error));
  }

  /** Nothing more is written to it, and it is durable. */
  async #finish(log: OpenLog): Promise<void> {
    await this.#sync().catch((error: unknown) => this.#report(error));
    if (this.#log === log) await this.#abandon(log);
  }

  async #abandon(log: OpenLog): Promise<void> {
    const { files, directory } = this.#options;
    if (this.#log === log) this.#log = undefined;
    if (log.unsynced.length > 0)
      await done((end) => files.fdatasync(log.fd, end)).catch((error: unknown) => this.#report(error));
    await closeFile(files, log.fd).catch((error: unknown) => this.#report(error));
    // Nothing in it was acknowledged: a full disk must not gather a file for each attempt.
    if (log.length === 0) await removeFile(files, join(directory, `${log.name}.log`)).catch(() => {});
    this.#options.writer.finished("log", log.file);
  }

  #report(error: unknown): void {
    this.#options.onFault({ kind: "background", doing: "recording settlements", error });
  }
}
