/** All records of a spool: those of the segments, and the moved messages. Owns nothing. */
import { makeQueueId } from "../../../mail/queue-id.ts";
import type { OnFault } from "../../fault.ts";
import type { FileFaults } from "../../file-faults.ts";
import { parseNumberedName } from "../../records/names.ts";
import { locatorOf } from "../../records/parse-record.ts";
import type { DamagedRecord, ScannedRecord } from "../../records/window.ts";
import { type Locator, SpoolUnavailable } from "../../spool.ts";
import { isMissing, listDirectory, type SpoolFiles, spoolError, statFile } from "../disk/files.ts";
import {
  movedFilePlace,
  movedIds,
  movedPath,
  movedPlace,
  movedSegment,
  numberedNames,
  type Places,
  segmentPath,
  segmentPlace,
} from "../disk/names.ts";
import type { WriterRegistry } from "../writers/writer-registry.ts";
import { type ScanCursor, type ScanOptions, scanSegment } from "./scan.ts";

export interface StoredRecordsOptions {
  files: SpoolFiles;
  places: Places;
  registry: WriterRegistry;
  /** The segment that this process writes, as far as it is acknowledged. */
  openSegment(): { name: string; length: number } | undefined;
  onFault: OnFault;
  fileFaults: FileFaults;
}

/** What is remembered of a moved message: little, since there may be a million. */
export interface MovedSummary {
  readonly id: string;
  readonly recipients: number;
  readonly parts: number[][];
  /** Name of the body's own file. */
  readonly large: string | undefined;
  /** The segment that it was moved out of. */
  readonly origin: string | undefined;
  /** Octets of its file. */
  readonly bytes: number;
  readonly checksum: number;
}

/** Of most messages: one recipient, in one group. */
const commonParts = [[0]];

type ScanEvents = Pick<ScanOptions, "onDamagedRecord" | "onUnreadable">;

/** Added to a segment's time of change, since the clocks of hosts differ. */
const clockSkewMs = 60_000;

export class StoredRecords {
  readonly #options: StoredRecordsOptions;

  /** By id. */
  readonly #moved = new Map<string, MovedSummary>();

  constructor(options: StoredRecordsOptions) {
    this.#options = options;
  }

  /** Oldest first. Afterwards the registry knows which of them are finished. */
  async segmentNames(): Promise<string[]> {
    const { files, places, registry } = this.#options;
    const names = numberedNames(await listDirectory(files, places.segments), ".seg");
    await registry.refresh();
    return names;
  }

  async segmentExists(segment: string): Promise<boolean> {
    const { files, places } = this.#options;
    return (await statFile(files, segmentPath(places, segment))) !== undefined;
  }

  /** Whether the segment never grows again. */
  isFinished(segment: string): boolean {
    return this.#options.registry.isFinishedName("segment", segment);
  }

  /**
   * See scanSegment(). Of segments that are being written, only what is on stable storage.
   * @throws the file system's errors, ENOENT among them
   */
  scan(
    segment: string,
    cursor: ScanCursor,
    onDamagedRecord: (record: DamagedRecord) => void,
  ): AsyncGenerator<ScannedRecord[], void> {
    return this.#scan(segment, { onDamagedRecord }, cursor);
  }

  /**
   * As scan(), of a finished segment that was read before.
   * @param isReported  whether damage is reported
   */
  scanAgain(
    segment: string,
    cursor: ScanCursor,
    { isReported, ...hear }: Pick<ScanOptions, "onDamagedRecord"> & { isReported: boolean },
  ): AsyncGenerator<ScannedRecord[], void> {
    const { files, places } = this.#options;
    const path = segmentPath(places, segment);
    const onFault = isReported ? this.#options.onFault : () => {};
    return scanSegment({ files, path, segment, closed: true, onFault, ...hear }, cursor);
  }

  #scan(segment: string, hear: ScanEvents, cursor?: ScanCursor): AsyncGenerator<ScannedRecord[], void> {
    const { files, places, onFault } = this.#options;
    const limit = this.#limitOf(segment);
    const closed = this.isFinished(segment);
    const path = segmentPath(places, segment);
    return scanSegment(
      { files, path, segment, closed, onFault, ...(limit !== undefined && { limit }), ...hear },
      cursor,
    );
  }

  /** Where the records end that are on stable storage, of a segment that still grows. */
  #limitOf(segment: string): number | undefined {
    const { openSegment, registry } = this.#options;
    const open = openSegment();
    if (open?.name === segment) return open.length;
    const parsed = parseNumberedName(segment);
    return parsed && registry.syncedLength(parsed);
  }

  /**
   * As scan(), past what the disk cannot read; a segment that is gone has no records.
   * @param from  where a record begins
   */
  async *inSegment(segment: string, hear: ScanEvents = {}, from = 0): AsyncGenerator<ScannedRecord[], void> {
    const { fileFaults } = this.#options;
    const place = segmentPlace(segment);
    let isWhole = true;
    const onUnreadable = (error: unknown): void => {
      isWhole = false;
      fileFaults.met(place, error);
      hear.onUnreadable?.(error);
    };
    try {
      yield* this.#scan(segment, { ...hear, onUnreadable }, { position: from, damaged: false });
    } catch (error) {
      if (!isMissing(error)) onUnreadable(error);
    }
    if (isWhole && from === 0) fileFaults.over(place);
  }

  async movedIds(): Promise<string[]> {
    const { files, places } = this.#options;
    const ids = movedIds(await listDirectory(files, places.moved));
    const present = new Set(ids);
    for (const id of this.#moved.keys()) if (!present.has(id)) this.#moved.delete(id);
    return ids;
  }

  /**
   * As moved(), of what is needed again and again: a file never changes, and is read once.
   * @throws SpoolUnavailable when it cannot be read; that is reported
   */
  async summaryOfMoved(id: string): Promise<MovedSummary | undefined> {
    const known = this.#moved.get(id);
    if (known !== undefined) return known;
    const record = await this.moved(id);
    if (record === undefined) return undefined;
    const { header, extra, length } = record;
    const { parts } = record.meta();
    const isCommon = parts.length === 1 && parts[0]?.length === 1 && parts[0][0] === 0;
    const summary = {
      id,
      recipients: header.recipients,
      parts: isCommon ? commonParts : parts,
      large: extra.large,
      origin: extra.origin?.segment,
      bytes: length,
      checksum: header.checksum,
    };
    this.#moved.set(id, summary);
    return summary;
  }

  /**
   * The record of a moved message; undefined when it is gone or damaged.
   * @throws SpoolUnavailable when it cannot be read; that is reported
   */
  async moved(id: string): Promise<ScannedRecord | undefined> {
    const { files, places, onFault, fileFaults } = this.#options;
    const options = {
      files,
      path: movedPath(places, id),
      segment: movedPlace(id),
      closed: true,
      onFault,
    };
    try {
      let found: ScannedRecord | undefined;
      for await (const group of scanSegment(options)) found ??= group.find((record) => record.id === id);
      fileFaults.over(movedFilePlace(id));
      return found;
    } catch (error) {
      if (isMissing(error)) return undefined;
      fileFaults.met(movedFilePlace(id), error);
      throw spoolError(error, "a message could not be read");
    }
  }

  /**
   * Finds a message in the segments, without a locator. It may have been moved all the same.
   * @throws SpoolUnavailable when it is not found, and not everything could be read
   */
  async find(id: string): Promise<Locator | undefined> {
    let isComplete = true;
    const onUnreadable = (): void => {
      isComplete = false;
    };
    for (const segment of await this.#likelyFirst(await this.segmentNames(), id))
      for await (const group of this.inSegment(segment, { onUnreadable }))
        for (const record of group) if (record.id === id) return locatorOf(segment, record);
    if (!isComplete) throw new SpoolUnavailable("not all segments could be read");
    return undefined;
  }

  /**
   * A message is in no segment that was last written before its id was made, and most likely in the first one
   * written later. As clocks may differ, the other segments follow.
   */
  async #likelyFirst(segments: string[], id: string): Promise<string[]> {
    const { files, places } = this.#options;
    const likely: string[] = [];
    const unlikely: string[] = [];
    for (const segment of segments) {
      const stats = await statFile(files, segmentPath(places, segment));
      const lastWrittenMs = Math.ceil(stats?.mtimeMs ?? 0) + clockSkewMs;
      const lastId = makeQueueId(lastWrittenMs, new Uint8Array(9).fill(31));
      (lastId >= id ? likely : unlikely).push(segment);
    }
    return [...likely, ...unlikely];
  }
}

export function movedLocator({ bytes, checksum }: MovedSummary): Locator {
  return { segment: movedSegment, offset: 0, length: bytes, checksum };
}
