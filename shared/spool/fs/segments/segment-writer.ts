/**
 * Group commit: all records that are ready when a write begins share it, and share one fdatasync.
 * Owns the segment that it writes to, until close().
 */

import { join } from "node:path";
import { type Locator, SpoolUnavailable } from "../../spool.ts";
import type { SpoolCounters } from "../disk/counters.ts";
import type { OnFault } from "../disk/fault.ts";
import {
  closeFile,
  done,
  openFile,
  type SpoolFiles,
  spoolError,
  syncDirectory,
  writeFully,
} from "../disk/files.ts";
import { type NumberedName, numberedName } from "../disk/names.ts";
import type { OwnWriter } from "../writers/own-writer.ts";
import { BatchLayout, type PlacelessRecord } from "./batch.ts";

interface WaitingRecord extends PlacelessRecord {
  bytes: number;
  /** It settles another message, which its segment's name has to tell. */
  settling: boolean;
  resolve(locator: Locator): void;
  reject(error: Error): void;
}

interface OpenSegment {
  fd: number;
  name: string;
  file: NumberedName;
  /** Octets that were acknowledged; nothing after them counts. */
  length: number;
}

export interface SegmentWriterOptions {
  files: SpoolFiles;
  directory: string;
  writer: OwnWriter;
  /** A segment that has grown to this is closed. */
  segmentBytes: number;
  /** A segment with records is closed at this age, so that it can be collected. */
  segmentAgeMs: number;
  counters: SpoolCounters;
  onFault: OnFault;
  nowMs: () => number;
}

/** Bounds the memory and the time of one write. */
const batchBytes = 16 * 1024 * 1024;
const batchRecords = 2000;

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #layout = new BatchLayout();
  #waiting: WaitingRecord[] = [];
  #segment: OpenSegment | undefined;
  #working = false;
  #scheduled = false;
  #idle: (() => void)[] = [];
  #closings: Promise<void> = Promise.resolve();
  /** Once a process has settled by a record it will again: its segments are all of that kind from then on. */
  #settles = false;
  #closed = false;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the record is on stable storage.
   * @throws SpoolFull, SpoolUnavailable; nothing of the record remains then
   */
  append(record: PlacelessRecord, bytes: number, settling: boolean): Promise<Locator> {
    if (this.#closed) return Promise.reject(new SpoolUnavailable("the spool is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ head: record.head, chunks: record.chunks, bytes, settling, resolve, reject });
      if (this.#working || this.#scheduled) return;
      this.#scheduled = true;
      // After the sockets that are ready now: what they bring shares the write.
      setImmediate(() => {
        this.#scheduled = false;
        void this.#work();
      });
    });
  }

  /** The acknowledged length of the segment that is being written, for those who read it at the same time. */
  openSegment(): { name: string; length: number } | undefined {
    return this.#segment;
  }

  /** Closes the segment if it is old enough; to be called now and then. */
  tick(): void {
    const segment = this.#segment;
    if (segment === undefined || this.#working || segment.length === 0) return;
    if (this.#options.nowMs() - segment.file.openedMs >= this.#options.segmentAgeMs) this.#finish(segment);
  }

  /** Ends when all that was appended is written or refused. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#working || this.#scheduled) await new Promise<void>((resolve) => this.#idle.push(resolve));
    if (this.#segment !== undefined) this.#finish(this.#segment);
    await this.#closings;
  }

  async #work(): Promise<void> {
    this.#working = true;
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      try {
        const locators = await this.#write(batch);
        this.#options.counters.commits += batch.length;
        batch.forEach((record, index) => {
          record.resolve(locators[index] as Locator);
        });
      } catch (error) {
        const refusal = spoolError(error, "the message could not be stored");
        for (const record of batch) record.reject(refusal);
      }
    }
    this.#working = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** The waiting records in their order, up to the bounds of one write. */
  #takeBatch(): WaitingRecord[] {
    let bytes = 0;
    let count = 0;
    for (const record of this.#waiting) {
      bytes += record.bytes;
      if (count > 0 && (bytes > batchBytes || count >= batchRecords)) break;
      count++;
    }
    if (count === this.#waiting.length) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    return this.#waiting.splice(0, count);
  }

  async #write(batch: WaitingRecord[]): Promise<Locator[]> {
    const { files, writer, counters } = this.#options;
    const settling = batch.some((record) => record.settling);
    // A second time only when this process was taken for dead; a third would mean that it always is.
    for (let attempt = 0; attempt < 3; attempt++) {
      const segment = await this.#usableSegment(settling);
      const { pieces, length, locators } = this.#layout.lay(batch, segment.name, segment.length);
      let counts: boolean;
      try {
        await writeFully(files, segment.fd, pieces, segment.length);
      } catch (error) {
        if (!(await this.#wipe(segment))) this.#finish(segment);
        throw error;
      }
      try {
        counters.fdatasyncs++;
        await done((end) => files.fdatasync(segment.fd, end));
        counts = await writer.stillCounts(segment.file.writer);
      } catch (error) {
        // After a failed fdatasync the kernel may call the same pages clean: nothing more is trusted to this file.
        await this.#wipe(segment);
        this.#finish(segment);
        throw error;
      }
      if (counts) {
        segment.length += length;
        counters.batches++;
        counters.largestBatch = Math.max(counters.largestBatch, batch.length);
        counters.bytesWritten += length;
        if (segment.length >= this.#options.segmentBytes) this.#finish(segment);
        return locators;
      }
      await this.#wipe(segment);
      this.#finish(segment);
    }
    throw new SpoolUnavailable("other processes keep taking this one for dead");
  }

  async #usableSegment(settling: boolean): Promise<OpenSegment> {
    const { files, directory, writer, counters } = this.#options;
    const current = this.#segment;
    if (current !== undefined) {
      if (writer.isCurrent(current.file.writer) && (!settling || current.file.settling)) return current;
      this.#finish(current);
    }
    const file: NumberedName = {
      writer: await writer.name(),
      openedMs: writer.openedMs(),
      settling: settling || this.#settles,
    };
    this.#settles = file.settling;
    const name = numberedName(file);
    const fd = await openFile(files, join(directory, `${name}.seg`), "wx");
    try {
      await syncDirectory(files, directory);
    } catch (error) {
      await closeFile(files, fd).catch(() => {});
      writer.finished("segment", file);
      throw error;
    }
    counters.segmentsOpened++;
    this.#segment = { fd, name, file, length: 0 };
    return this.#segment;
  }

  /**
   * Takes back what was written and not acknowledged, durably, before anybody is told of the refusal:
   * a refused message must not come to life after a restart. What a crash catches before that was never answered,
   * and a client that got no answer has to expect both (RFC 1047).
   */
  async #wipe(segment: OpenSegment): Promise<boolean> {
    const { files } = this.#options;
    try {
      await done((end) => files.ftruncate(segment.fd, segment.length, end));
      await done((end) => files.fdatasync(segment.fd, end));
      return true;
    } catch (error) {
      this.#options.onFault({ kind: "not-wiped", place: segment.name, error });
      return false;
    }
  }

  #finish(segment: OpenSegment): void {
    if (this.#segment === segment) this.#segment = undefined;
    const closing = closeFile(this.#options.files, segment.fd).catch((error: unknown) => {
      this.#options.onFault({ kind: "background", doing: `closing segment ${segment.name}`, error });
    });
    this.#closings = this.#closings.then(() => closing);
    this.#options.writer.finished("segment", segment.file);
  }
}
