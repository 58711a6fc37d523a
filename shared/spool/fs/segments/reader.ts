/**
 * Reads one message: one pread by its locator, and a look elsewhere when it has moved.
 * Owns a few read descriptors of segments, each for a few seconds only: a removed segment must not be read for long
 * after its settlements are forgotten, nor keep its space.
 */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { MessageMeta } from "../../../mail/message.ts";
import { isFileSafeId } from "../../../mail/queue-id.ts";
import { type Body, type Locator, SpoolCorrupt, SpoolUnavailable } from "../../spool.ts";
import type { SpoolCounters } from "../disk/counters.ts";
import { closeFile, isMissing, openFile, type SpoolFiles, spoolError, statFile } from "../disk/files.ts";
import { movedPlace, type Places, parseNumberedName } from "../disk/names.ts";
import { LargeBodyStream } from "./large-body.ts";
import {
  bodyOffset,
  headerLength,
  placeSeed,
  type RecordHeader,
  readHeader,
  readText,
  recordLength,
} from "./record.ts";

export interface ReadMessage {
  meta: MessageMeta;
  body: Body;
}

interface OpenSegment {
  /** Undefined: there is no such segment. */
  fd: Promise<number | undefined>;
  openedAtMs: number;
  users: number;
  /** No longer in the table: the last user closes it. */
  retired: boolean;
}

const mostOpen = 64;
/** Must stay far below the time for which settlements outlive their segment (`forgetAfterMs`). */
const reopenAfterMs = 10_000;

export class RecordReader {
  readonly #files: SpoolFiles;
  readonly #places: Places;
  readonly #counters: SpoolCounters;
  /** In order of opening. */
  readonly #open = new Map<string, OpenSegment>();
  readonly #closings = new Set<Promise<void>>();
  /** The seeds of the segments that were read last. */
  readonly #seeds = new Map<string, number>();

  constructor(files: SpoolFiles, places: Places, counters: SpoolCounters) {
    this.#files = files;
    this.#places = places;
    this.#counters = counters;
  }

  /**
   * @returns undefined when the message is neither there nor in a file of its own
   * @throws SpoolCorrupt, SpoolUnavailable
   */
  async read(id: string, locator: Locator): Promise<ReadMessage | undefined> {
    this.#counters.reads++;
    if (locator.segment === movedPlace || parseNumberedName(locator.segment) === undefined)
      return this.readMoved(id);
    const segment = this.#segment(locator.segment);
    segment.users++;
    try {
      const fd = await segment.fd;
      if (fd !== undefined) {
        const octets = await this.#pread(fd, locator.offset, locator.length);
        return await this.#message(id, octets, locator, this.#places.segments);
      }
    } finally {
      segment.users--;
      this.#closeIfUnused(segment);
    }
    return (await this.readMoved(id)) ?? this.#readDamaged(id, locator);
  }

  /** A message that was moved to its own file. */
  async readMoved(id: string): Promise<ReadMessage | undefined> {
    if (!isFileSafeId(id)) return undefined;
    const path = join(this.#places.own, `${id}.msg`);
    const octets = await this.#wholeFile(path);
    if (octets === undefined) return undefined;
    const locator = { segment: `${movedPlace}/${id}`, offset: 0, length: octets.length, checksum: -1 };
    return this.#message(id, octets, locator, this.#places.own);
  }

  /** Closes what has been open for long; to be called now and then. */
  tick(): void {
    const nowMs = performance.now();
    for (const [name, segment] of this.#open)
      if (nowMs - segment.openedAtMs > reopenAfterMs) this.#retire(name, segment);
  }

  async close(): Promise<void> {
    for (const [name, segment] of this.#open) this.#retire(name, segment);
    await Promise.all(this.#closings);
  }

  async #readDamaged(id: string, locator: Locator): Promise<ReadMessage | undefined> {
    const octets = await this.#wholeFile(join(this.#places.damaged, `${locator.segment}.seg`), locator);
    return octets === undefined ? undefined : this.#message(id, octets, locator, this.#places.damaged);
  }

  #segment(name: string): OpenSegment {
    const nowMs = performance.now();
    let segment = this.#open.get(name);
    if (segment !== undefined && nowMs - segment.openedAtMs > reopenAfterMs) {
      this.#retire(name, segment);
      segment = undefined;
    }
    if (segment !== undefined) return segment;
    const path = join(this.#places.segments, `${name}.seg`);
    const opened: OpenSegment = {
      fd: openFile(this.#files, path, "r").catch((error: unknown) => {
        this.#retire(name, opened);
        if (isMissing(error)) return undefined;
        throw spoolError(error, "the segment could not be opened");
      }),
      openedAtMs: nowMs,
      users: 0,
      retired: false,
    };
    this.#open.set(name, opened);
    if (this.#open.size > mostOpen) {
      const [oldest] = this.#open;
      if (oldest !== undefined) this.#retire(...oldest);
    }
    return opened;
  }

  #retire(name: string, segment: OpenSegment): void {
    if (this.#open.get(name) === segment) this.#open.delete(name);
    if (segment.retired) return;
    segment.retired = true;
    this.#closeIfUnused(segment);
  }

  #closeIfUnused(segment: OpenSegment): void {
    if (!segment.retired || segment.users > 0) return;
    segment.users = Number.POSITIVE_INFINITY;
    const closing = segment.fd
      .then((fd) => (fd === undefined ? undefined : closeFile(this.#files, fd)))
      .catch(() => {})
      .finally(() => this.#closings.delete(closing));
    this.#closings.add(closing);
  }

  /** The octets that are there, at most `length`. */
  #pread(fd: number, offset: number, length: number): Promise<Buffer> {
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

  async #wholeFile(path: string, part?: Locator): Promise<Buffer | undefined> {
    let fd: number;
    try {
      fd = await openFile(this.#files, path, "r");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw spoolError(error, "the message could not be opened");
    }
    try {
      if (part !== undefined) return await this.#pread(fd, part.offset, part.length);
      const size = await new Promise<number>((resolve, reject) => {
        this.#files.fstat(fd, (error, stats) => {
          if (error) reject(spoolError(error, "the message could not be read"));
          else resolve(stats.size);
        });
      });
      return await this.#pread(fd, 0, size);
    } finally {
      await closeFile(this.#files, fd);
    }
  }

  #seed(place: string): number {
    let seed = this.#seeds.get(place);
    if (seed === undefined) {
      if (this.#seeds.size >= mostOpen) this.#seeds.clear();
      seed = placeSeed(place);
      this.#seeds.set(place, seed);
    }
    return seed;
  }

  #message(
    id: string,
    octets: Buffer,
    locator: Locator,
    directory: string,
  ): ReadMessage | Promise<ReadMessage | undefined> {
    const corrupt = (what: string): SpoolCorrupt =>
      new SpoolCorrupt(`message ${id} in ${locator.segment} at ${locator.offset}: ${what}`);
    const seed = this.#seed(locator.segment);
    const header = octets.length < headerLength ? undefined : readHeader(octets, 0, seed);
    if (header === undefined) throw corrupt("no record begins here");
    if (locator.checksum !== -1 && header.checksum !== locator.checksum)
      throw corrupt("this is another record");
    if (recordLength(header) !== octets.length) throw corrupt("the record is cut short");
    const text = readText(octets, 0, header, seed);
    if (text === undefined) throw corrupt("the envelope does not match its checksum");
    if (text.id !== id) throw corrupt(`this is message ${text.id}`);
    if (header.large) return this.#withLargeBody(text, header, locator, directory);
    const bytes = octets.subarray(bodyOffset(header));
    if (crc32(bytes) !== header.bodyCrc) throw corrupt("the body does not match its checksum");
    return { meta: text.meta(), body: { kind: "buffer", bytes } };
  }

  async #withLargeBody(
    text: { id: string; meta(): MessageMeta; extra: { large?: string } },
    header: RecordHeader,
    locator: Locator,
    directory: string,
  ): Promise<ReadMessage | undefined> {
    const path = join(this.#places.large, `${text.extra.large}.body`);
    const stats = await statFile(this.#files, path).catch((error: unknown) => {
      throw new SpoolUnavailable("the message's body could not be found", { cause: error });
    });
    if (stats?.size !== header.bodyLength) {
      // The record goes before its body: where the record is gone from the directory, all is as it should be.
      const file = directory === this.#places.own ? `${text.id}.msg` : `${locator.segment}.seg`;
      if (stats === undefined && (await statFile(this.#files, join(directory, file))) === undefined)
        return undefined;
      throw new SpoolCorrupt(`message ${text.id}: its body ${path} is missing or cut short`);
    }
    const expected = { size: header.bodyLength, crc: header.bodyCrc };
    return {
      meta: text.meta(),
      body: {
        kind: "file",
        size: header.bodyLength,
        open: () => new LargeBodyStream(this.#files, path, expected),
      },
    };
  }
}
