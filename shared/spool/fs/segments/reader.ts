/**
 * Reads one message: one pread by its locator, or the places where it may be after it was moved.
 * Owns the descriptors of segments that it shares between reads, until close().
 */
import { join } from "node:path";
import type { MessageMeta } from "../../../mail/message.ts";
import { isFileSafeId } from "../../../mail/queue-id.ts";
import type { SpoolCounters } from "../../counters.ts";
import type { OnFault } from "../../fault.ts";
import type { FileFaults } from "../../file-faults.ts";
import { orOnceMore } from "../../once-more.ts";
import { parseNumberedName } from "../../records/names.ts";
import { bodyOf, parseRecord, type ReadRecord } from "../../records/parse-record.ts";
import { headerLength, headSize, type RecordHeader, type RecordText } from "../../records/record.ts";
import { type Body, type Locator, SpoolCorrupt } from "../../spool.ts";
import {
  closeFile,
  isMissing,
  openFile,
  orSpoolError,
  type SpoolFiles,
  spoolError,
  statFile,
} from "../disk/files.ts";
import {
  largePath,
  largePlace,
  movedFilePlace,
  movedPath,
  movedPlace,
  movedSegment,
  type Places,
  segmentPath,
  segmentPlace,
} from "../disk/names.ts";
import { type FilePart, GroupedReads } from "./grouped-reads.ts";
import { LargeBodyStream } from "./large-body.ts";
import { SegmentDescriptors } from "./segment-descriptors.ts";

export interface ReadMessage {
  meta: MessageMeta;
  body: Body;
}

/** A record and the file that contains it. */
interface FileRecord extends ReadRecord {
  path: string;
}

/** Reads a record, or what is before its body, from a part of a file. */
type ReadPart = (fd: number, part: FilePart) => Promise<Buffer>;

export class RecordReader {
  readonly #files: SpoolFiles;
  readonly #places: Places;
  readonly #counters: SpoolCounters;
  readonly #fileFaults: FileFaults;
  readonly #descriptors: SegmentDescriptors;
  readonly #reads: GroupedReads;

  constructor(options: {
    files: SpoolFiles;
    places: Places;
    counters: SpoolCounters;
    onFault: OnFault;
    fileFaults: FileFaults;
  }) {
    this.#fileFaults = options.fileFaults;
    this.#files = options.files;
    this.#places = options.places;
    this.#counters = options.counters;
    this.#reads = new GroupedReads(options.files);
    this.#descriptors = new SegmentDescriptors(options.files, options.places, options.onFault);
  }

  /**
   * @returns undefined when the message is neither there nor in a file of its own
   * @throws SpoolCorrupt, SpoolUnavailable
   */
  read(id: string, locator: Locator): Promise<ReadMessage | undefined> {
    this.#counters.reads++;
    return orOnceMore(async () => {
      const record = await this.#find(id, locator, this.#readAt);
      return record && (await this.#message(id, record));
    }, this.#renew(locator));
  }

  /** A message that was moved to its own file. */
  readMoved(id: string): Promise<ReadMessage | undefined> {
    return orOnceMore(async () => {
      const record = await this.#findMoved(id, this.#readAt);
      return record && (await this.#message(id, record));
    });
  }

  /** As read(), of the envelope alone: nothing of the body is read. */
  readMeta(id: string, locator: Locator): Promise<MessageMeta | undefined> {
    return orOnceMore(async () => {
      const record = await this.#find(id, locator, this.#readHead);
      return record && parseRecord(id, record).text.meta();
    }, this.#renew(locator));
  }

  /** As readMoved(), of the envelope alone. */
  readMovedMeta(id: string): Promise<MessageMeta | undefined> {
    return orOnceMore(async () => {
      const record = await this.#findMoved(id, this.#readHead);
      return record && parseRecord(id, record).text.meta();
    });
  }

  /** Closes descriptors that have been open for long; to be called every second or so. */
  closeOldDescriptors(): void {
    this.#descriptors.closeOld();
  }

  close(): Promise<void> {
    return this.#descriptors.close();
  }

  /** A descriptor that was opened earlier may go on giving old octets. */
  #renew({ segment }: Locator): () => void {
    return () => this.#descriptors.renew(segment);
  }

  /** Looks in the segment, then among the moved messages, then in a segment that was put aside. */
  async #find(id: string, locator: Locator, read: ReadPart): Promise<FileRecord | undefined> {
    const { segment, offset, checksum } = locator;
    if (segment === movedSegment || parseNumberedName(segment) === undefined)
      return this.#findMoved(id, read);
    const octets = await this.#descriptors
      .use(segment, (fd) => read(fd, locator))
      .catch((error: unknown) => this.#reportAndThrow(segmentPlace(segment), error));
    if (octets !== undefined) {
      const path = segmentPath(this.#places, segment);
      return { octets, whole: locator.length, place: segment, path, offset, checksum };
    }
    const moved = await this.#findMoved(id, read);
    if (moved !== undefined) return moved;
    const path = join(this.#places.damaged, `${segment}.seg`);
    const damaged = await this.#readFile(path, read, locator);
    return damaged && { ...damaged, place: segment, path, offset, checksum };
  }

  async #findMoved(id: string, read: ReadPart): Promise<FileRecord | undefined> {
    if (!isFileSafeId(id)) return undefined;
    const path = movedPath(this.#places, id);
    const found = await this.#readFile(path, read).catch((error: unknown) =>
      this.#reportAndThrow(movedFilePlace(id), error),
    );
    return found && { ...found, place: movedPlace(id), path, offset: 0 };
  }

  #message(id: string, record: FileRecord): ReadMessage | Promise<ReadMessage | undefined> {
    const { header, text } = parseRecord(id, record);
    if (header.large) return this.#withLargeBody(header, text, record.path);
    const bytes = bodyOf(id, record, header);
    return { meta: text.meta(), body: { kind: "buffer", bytes } };
  }

  async #withLargeBody(
    { bodyLength, bodyCrc }: RecordHeader,
    { id, meta, extra }: RecordText,
    recordPath: string,
  ): Promise<ReadMessage | undefined> {
    const path = largePath(this.#places, extra.large ?? "");
    const size = await orSpoolError(
      this.#sizeOfBody(path, bodyLength),
      "the message's body could not be found",
    );
    if (size !== bodyLength) {
      // The record is removed before its body: with the record gone, the message is freed, not damaged.
      if (size === undefined && (await statFile(this.#files, recordPath)) === undefined) return undefined;
      throw new SpoolCorrupt(`message ${id}: its body ${path} is missing or cut short`);
    }
    const expected = { size: bodyLength, crc: bodyCrc };
    const onUnreadable = (error: unknown): void => this.#fileFaults.met(largePlace(extra.large ?? ""), error);
    const open = (): LargeBodyStream => new LargeBodyStream(this.#files, path, expected, onUnreadable);
    return { meta: meta(), body: { kind: "file", size: bodyLength, open } };
  }

  /** @returns undefined when there is no such file */
  async #sizeOfBody(path: string, expected: number): Promise<number | undefined> {
    if ((await statFile(this.#files, path))?.size === expected) return expected;
    // Another size is believed of an open file only: a shared file system may remember the names and sizes of a while ago.
    try {
      const fd = await openFile(this.#files, path, "r");
      return await this.#sizeOf(fd).finally(() => closeFile(this.#files, fd));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  #reportAndThrow(place: string, error: unknown): never {
    this.#fileFaults.met(place, error);
    throw error;
  }

  /** A record that is a file, or a part of one; undefined when there is no such file. */
  async #readFile(
    path: string,
    read: ReadPart,
    part?: FilePart,
  ): Promise<Pick<ReadRecord, "octets" | "whole"> | undefined> {
    let fd: number;
    try {
      fd = await openFile(this.#files, path, "r");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw spoolError(error, "the message could not be opened");
    }
    try {
      const all = part ?? { offset: 0, length: await this.#sizeOf(fd) };
      return { octets: await read(fd, all), whole: all.length };
    } finally {
      await closeFile(this.#files, fd);
    }
  }

  #sizeOf(fd: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#files.fstat(fd, (error, stats) => {
        if (error) reject(spoolError(error, "the message could not be read"));
        else resolve(stats.size);
      });
    });
  }

  /** What is before the body of a record, or its header alone where that is damaged. */
  readonly #readHead: ReadPart = async (fd, { offset, length }) => {
    const start = await this.#readAt(fd, { offset, length: Math.min(length, headerLength) });
    const size = start.length < headerLength ? undefined : headSize(start);
    if (size === undefined || size > length) return start;
    return this.#readAt(fd, { offset, length: size });
  };

  /** `length` octets, or as many as there are before the end of the file. */
  readonly #readAt: ReadPart = (fd, part) => this.#reads.read(fd, part);
}
