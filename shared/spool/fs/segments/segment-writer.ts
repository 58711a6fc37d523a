/**
 * Group commit: all records that are ready when a write begins share it, and share one fdatasync.
 * Owns the segment that it writes to, until close().
 */

import type { SpoolCounters } from "../../counters.ts";
import { BatchLayout, type PlacelessRecord } from "../../records/batch.ts";
import { type Locator, SpoolUnavailable } from "../../spool.ts";
import type { StorageWatch } from "../../storage-watch.ts";
import { BackgroundCloser, spoolError } from "../disk/files.ts";
import type { DiskSpace } from "../disk/space.ts";
import { unlessFenced, type WriterHeartbeat } from "../writers/heartbeat.ts";
import { SegmentFile, type SegmentFileOptions } from "./segment-file.ts";

interface WaitingRecord extends PlacelessRecord {
  bytes: number;
  /** It settles another message, which the name of its segment has to say. */
  settling: boolean;
  resolve(locator: Locator): void;
  reject(error: Error): void;
}

export interface SegmentWriterOptions extends SegmentFileOptions {
  heartbeat: WriterHeartbeat;
  space: Pick<DiskSpace, "use">;
  disk: Pick<StorageWatch, "watch">;
  /** A segment that has grown to this is closed. */
  segmentBytes: number;
  /** A segment with records is closed at this age, so that it can be collected. */
  segmentAgeMs: number;
  counters: SpoolCounters;
}

/** Bounds the memory and the time of one write. */
const batchBytes = 16 * 1024 * 1024;
const batchRecords = 2000;
/** A second write when this process was fenced; a third fencing would mean that it always is. */
const writeAttempts = 3;

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #layout = new BatchLayout();
  readonly #closer: BackgroundCloser;
  #waiting: WaitingRecord[] = [];
  /** Set from the first waiting record until none waits any more. */
  #writing: Promise<void> | undefined;
  #segment: SegmentFile | undefined;
  /** A process that has stored one record that settles will store more: all its further segments are of that kind. */
  #settling = false;
  #closed = false;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#closer = new BackgroundCloser(options.files, options.onFault);
  }

  /**
   * Resolves when the record is on stable storage.
   * @throws SpoolFull, SpoolUnavailable; nothing of the record remains then
   */
  append(record: PlacelessRecord, bytes: number, settling: boolean): Promise<Locator> {
    if (this.#closed) return Promise.reject(new SpoolUnavailable("the spool is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ head: record.head, chunks: record.chunks, bytes, settling, resolve, reject });
      this.#writing ??= this.#writeWaiting();
    });
  }

  /** The acknowledged length of the segment that is being written, for those who read it at the same time. */
  openSegment(): { name: string; length: number } | undefined {
    return this.#segment;
  }

  /** Closes the segment when it is old enough; to be called every second or so. */
  closeOldSegment(): void {
    const segment = this.#segment;
    if (segment === undefined || segment.length === 0 || this.#writing !== undefined) return;
    if (this.#options.monotonicMs() - segment.createdAtMs >= this.#options.segmentAgeMs)
      this.#finish(segment);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    if (this.#segment !== undefined) this.#finish(this.#segment);
    await this.#closer.idle();
  }

  async #writeWaiting(): Promise<void> {
    // After the sockets that are ready now: their messages share the write.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      try {
        const write = (): Promise<Locator[]> => unlessFenced(writeAttempts, () => this.#write(batch));
        const locators = await this.#options.disk.watch("writing messages", write);
        this.#options.counters.commits += batch.length;
        batch.forEach((record, index) => {
          record.resolve(locators[index] as Locator);
        });
      } catch (error) {
        const refusal = spoolError(error, "the message could not be stored");
        for (const record of batch) record.reject(refusal);
      }
    }
    this.#writing = undefined;
  }

  /** The waiting records in their order, up to the bounds of one write. */
  #nextBatch(): WaitingRecord[] {
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

  /** @returns undefined when this process was fenced meanwhile */
  async #write(batch: WaitingRecord[]): Promise<Locator[] | undefined> {
    const { counters, heartbeat, segmentBytes, space } = this.#options;
    const segment = await this.#usableSegment(batch.some((record) => record.settling));
    const { pieces, length, locators } = this.#layout.lay(batch, segment.name, segment.length);
    try {
      await space.use(length, () => segment.write(pieces));
    } catch (error) {
      if (!(await segment.wipe())) this.#finish(segment);
      throw error;
    }
    let isAnnounced: boolean;
    try {
      counters.fdatasyncs++;
      await segment.sync();
      isAnnounced = await heartbeat.announceSynced(segment.parsedName, segment.length + length);
    } catch (error) {
      // After a failed fdatasync the kernel may call the same pages clean: this file is not trusted any more.
      await this.#wipeAndFinish(segment);
      throw error;
    }
    if (!isAnnounced) {
      await this.#wipeAndFinish(segment);
      return undefined;
    }
    segment.length += length;
    counters.batches++;
    counters.largestBatch = Math.max(counters.largestBatch, batch.length);
    counters.bytesWritten += length;
    if (segment.length >= segmentBytes) this.#finish(segment);
    return locators;
  }

  async #usableSegment(settling: boolean): Promise<SegmentFile> {
    const { counters, heartbeat } = this.#options;
    const current = this.#segment;
    if (current !== undefined) {
      const { writer, settling: maySettle } = current.parsedName;
      if (heartbeat.isCurrent(writer) && (!settling || maySettle)) return current;
      this.#finish(current);
    }
    this.#settling ||= settling;
    const writer = await heartbeat.name();
    const parsedName = { writer, openedMs: heartbeat.nextOpenedMs(), settling: this.#settling };
    try {
      this.#segment = await SegmentFile.create(this.#options, parsedName);
    } catch (error) {
      heartbeat.announceFinished("segment", parsedName);
      throw error;
    }
    counters.segmentsOpened++;
    return this.#segment;
  }

  async #wipeAndFinish(segment: SegmentFile): Promise<void> {
    await segment.wipe();
    this.#finish(segment);
  }

  #finish(segment: SegmentFile): void {
    if (this.#segment === segment) this.#segment = undefined;
    this.#closer.close(segment.fd, `segment ${segment.name}`);
    this.#options.heartbeat.announceFinished("segment", segment.parsedName);
  }
}
