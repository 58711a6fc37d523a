/**
 * Reads one message: one pread by its locator, or the places where it may be after it was moved.
 * Owns the descriptors of segments that it shares between reads, until close().
 */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { MessageMeta } from "../../../mail/message.ts";
import { isFileSafeId } from "../../../mail/queue-id.ts";
import { type Body, type Locator, SpoolCorrupt } from "../../spool.ts";
import type { SpoolCounters } from "../disk/counters.ts";
import type { OnFault } from "../disk/fault.ts";
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
  movedPath,
  movedPlace,
  movedSegment,
  type Places,
  parseNumberedName,
  segmentPath,
} from "../disk/names.ts";
import { LargeBodyStream } from "./large-body.ts";
import {
  bodyOffset,
  headerLength,
  placeSeed,
  type RecordHeader,
  type RecordText,
  readHeader,
  readText,
  recordLength,
} from "./record.ts";
import { SegmentDescriptors } from "./segment-descriptors.ts";

export interface ReadMessage {
  meta: MessageMeta;
  body: Body;
}

/** A record's octets and where they were read. */
interface ReadRecord {
  octets: Buffer;
  /** See `placeSeed`. */
  place: string;
  offset: number;
  /** Of the locator; absent when there was none. */
  checksum?: number;
}

export class RecordReader {
  readonly #files: SpoolFiles;
  readonly #places: Places;
  readonly #counters: SpoolCounters;
  readonly #descriptors: SegmentDescriptors;

  constructor(options: { files: SpoolFiles; places: Places; counters: SpoolCounters; onFault: OnFault }) {
    this.#files = options.files;
    this.#places = options.places;
    this.#counters = options.counters;
    this.#descriptors = new SegmentDescriptors(options.files, options.places, options.onFault);
  }

  /**
   * @returns undefined when the message is neither there nor in a file of its own
   * @throws SpoolCorrupt, SpoolUnavailable
   */
  async read(id: string, locator: Locator): Promise<ReadMessage | undefined> {
    this.#counters.reads++;
    const { segment } = locator;
    if (segment === movedSegment || parseNumberedName(segment) === undefined) return this.readMoved(id);
    const octets = await this.#descriptors.use(segment, (fd) => this.#readAt(fd, locator));
    if (octets === undefined) return (await this.readMoved(id)) ?? this.#readDamaged(id, locator);
    const record = { octets, place: segment, offset: locator.offset, checksum: locator.checksum };
    return this.#message(id, record, () => segmentPath(this.#places, segment));
  }

  /** A message that was moved to its own file. */
  async readMoved(id: string): Promise<ReadMessage | undefined> {
    if (!isFileSafeId(id)) return undefined;
    const path = movedPath(this.#places, id);
    const octets = await this.#readFile(path);
    return octets && this.#message(id, { octets, place: movedPlace(id), offset: 0 }, () => path);
  }

  /** Closes descriptors that have been open for long; to be called every second or so. */
  closeOldDescriptors(): void {
    this.#descriptors.closeOld();
  }

  close(): Promise<void> {
    return this.#descriptors.close();
  }

  /** A message in a segment that was put aside. */
  async #readDamaged(id: string, locator: Locator): Promise<ReadMessage | undefined> {
    const { segment, offset, checksum } = locator;
    const path = join(this.#places.damaged, `${segment}.seg`);
    const octets = await this.#readFile(path, locator);
    return octets && this.#message(id, { octets, place: segment, offset, checksum }, () => path);
  }

  /** @param recordPath  the file that contains the record */
  #message(
    id: string,
    record: ReadRecord,
    recordPath: () => string,
  ): ReadMessage | Promise<ReadMessage | undefined> {
    const { header, text } = parseRecord(id, record);
    if (header.large) return this.#withLargeBody(header, text, recordPath());
    const bytes = record.octets.subarray(bodyOffset(header));
    if (crc32(bytes) !== header.bodyCrc) throw corrupt(id, record, "the body does not match its checksum");
    return { meta: text.meta(), body: { kind: "buffer", bytes } };
  }

  async #withLargeBody(
    { bodyLength, bodyCrc }: RecordHeader,
    { id, meta, extra }: RecordText,
    recordPath: string,
  ): Promise<ReadMessage | undefined> {
    const path = largePath(this.#places, extra.large ?? "");
    const file = await orSpoolError(statFile(this.#files, path), "the message's body could not be found");
    if (file?.size !== bodyLength) {
      // The record is removed before its body: with the record gone, the message is freed, not damaged.
      if (file === undefined && (await statFile(this.#files, recordPath)) === undefined) return undefined;
      throw new SpoolCorrupt(`message ${id}: its body ${path} is missing or cut short`);
    }
    const expected = { size: bodyLength, crc: bodyCrc };
    const open = (): LargeBodyStream => new LargeBodyStream(this.#files, path, expected);
    return { meta: meta(), body: { kind: "file", size: bodyLength, open } };
  }

  /** The octets of a file, or of a part of it; undefined when there is no such file. */
  async #readFile(path: string, part?: { offset: number; length: number }): Promise<Buffer | undefined> {
    let fd: number;
    try {
      fd = await openFile(this.#files, path, "r");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw spoolError(error, "the message could not be opened");
    }
    try {
      return await this.#readAt(fd, part ?? { offset: 0, length: await this.#sizeOf(fd) });
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

  /** `length` octets, or as many as there are before the end of the file. */
  #readAt(fd: number, { offset, length }: { offset: number; length: number }): Promise<Buffer> {
    const octets = Buffer.allocUnsafe(length);
    return new Promise((resolve, reject) => {
      const next = (have: number): void => {
        this.#files.read(fd, octets, have, length - have, offset + have, (error, count) => {
          if (error) reject(spoolError(error, "the message could not be read"));
          else if (count === 0 || have + count === length) resolve(octets.subarray(0, have + count));
          else next(have + count);
        });
      };
      if (length === 0) resolve(octets);
      else next(0);
    });
  }
}

/** @throws SpoolCorrupt unless the octets are the whole record of this message, with intact id, meta and extra */
function parseRecord(id: string, record: ReadRecord): { header: RecordHeader; text: RecordText } {
  const { octets, place, checksum } = record;
  const seed = placeSeed(place);
  const header = octets.length < headerLength ? undefined : readHeader(octets, 0, seed);
  if (header === undefined) throw corrupt(id, record, "no record begins here");
  if (checksum !== undefined && header.checksum !== checksum)
    throw corrupt(id, record, "this is another record");
  if (recordLength(header) !== octets.length) throw corrupt(id, record, "the record is cut short");
  const text = readText(octets, 0, header, seed);
  if (text === undefined) throw corrupt(id, record, "the envelope does not match its checksum");
  if (text.id !== id) throw corrupt(id, record, `this is message ${text.id}`);
  return { header, text };
}

function corrupt(id: string, { place, offset }: ReadRecord, what: string): SpoolCorrupt {
  return new SpoolCorrupt(`message ${id} in ${place} at ${offset}: ${what}`);
}
