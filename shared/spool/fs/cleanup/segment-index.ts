/**
 * The segment index: which messages are in which segment or moved file, as the collector needs it to free space. Each segment
 * is walked once as it grows, and again when it looks as if all of it were settled. Owns nothing.
 */

import type { FileFaults } from "../../file-faults.ts";
import { type IdFilter, IdFilters } from "../../records/id-filter.ts";
import type { IndexedMessage } from "../../records/large-bodies.ts";
import type { TimedSettlement } from "../../records/record.ts";
import type { DamagedRecord, ScannedRecord } from "../../records/window.ts";
import { SpoolUnavailable } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import { isMissing, type SpoolFiles, statFile } from "../disk/files.ts";
import { movedPath, type Places, segmentPlace } from "../disk/names.ts";
import type { ScanCursor } from "../segments/scan.ts";
import type { StoredRecords } from "../segments/stored-records.ts";
import { KnownSegment } from "./known-segment.ts";
import { UnsettledSample } from "./unsettled-sample.ts";

export interface MovedMessage extends IndexedMessage {
  /** Octets of its file. */
  readonly bytes: number;
}

/** Files of moved messages that are read at the same time. */
const readsAtOnce = 32;

export class SegmentIndex {
  readonly #files: SpoolFiles;
  readonly #places: Places;
  readonly #records: StoredRecords;
  readonly #fileFaults: FileFaults;
  readonly #index: Pick<StateIndex, "isSettled">;
  readonly #monotonicMs: () => number;
  readonly segments = new Map<string, KnownSegment>();
  /** By id. */
  readonly moved = new Map<string, MovedMessage>();
  /** What was in segments and moved files that are gone, until a complete refresh reports it. */
  #goneSegments: IdFilter[] = [];
  #goneMoved = new Set<string>();
  #refreshes = 0;
  /** A record is damaged, and what it refers to is not known. */
  damaged = false;
  /** At the last refresh something could not be read, and which messages are there is not known. */
  incomplete = false;

  constructor(options: {
    files: SpoolFiles;
    places: Places;
    records: StoredRecords;
    fileFaults: FileFaults;
    index: Pick<StateIndex, "isSettled">;
    monotonicMs: () => number;
  }) {
    this.#index = options.index;
    this.#monotonicMs = options.monotonicMs;
    this.#files = options.files;
    this.#fileFaults = options.fileFaults;
    this.#places = options.places;
    this.#records = options.records;
  }

  /**
   * Afterwards every message that had been accepted before the call, and still exists, is indexed. Segments first,
   * then moved messages, since messages move in that direction only.
   * @param mayGoOn  called between segments; may throw to end the work
   * @returns whether an id was in a segment or moved file that is gone since the last refresh, as mayHave() does; undefined when
   *          none is gone
   */
  async refresh(mayGoOn: () => void): Promise<((id: string) => boolean) | undefined> {
    this.incomplete = false;
    this.#refreshes++;
    const names = await this.#records.segmentNames();
    const present = new Set(names);
    for (const name of this.segments.keys()) if (!present.has(name)) this.#noteGone(name);
    for (const name of names) {
      mayGoOn();
      await this.#refreshSegment(name);
    }
    await this.#refreshMoved();
    const [segments, moved] = [this.#goneSegments, this.#goneMoved];
    this.#goneSegments = [];
    this.#goneMoved = new Set();
    if (segments.length + moved.size === 0) return undefined;
    const filters = new IdFilters(segments);
    return (id) => moved.has(id) || filters.mayHave(id);
  }

  /**
   * Whether a message exists, to be asked until the next refresh. It may say so of one that is gone, as long as there is a
   * segment with messages of the same time.
   */
  mayHave(): (id: string) => boolean {
    const filters = new IdFilters([...this.segments.values()].map((segment) => segment.filter()));
    return (id) => this.moved.has(id) || filters.mayHave(id);
  }

  /**
   * Whether more than `most` messages of a complete segment are not settled. It is read only when it seems to have fewer. One
   * that cannot be read has more, as far as anybody knows; that is reported.
   */
  async hasMoreUnsettled(segment: KnownSegment, most: number): Promise<boolean> {
    const { unsettled } = segment;
    const seemsMore =
      most === 0 ? unsettled.hasUnsettled(this.#index) : unsettled.estimate(this.#index) > most;
    if (seemsMore || unsettled.isWhole) return seemsMore;
    const sample = new UnsettledSample();
    let found = 0;
    const add = (id: string, recipients: number): void => {
      found++;
      if (!this.#index.isSettled(id, recipients)) sample.add(id, recipients);
    };
    const cursor = { position: 0, damaged: false };
    try {
      for await (const group of this.#readAgain(segment, cursor, ({ id, header }) =>
        add(id, header.recipients),
      ))
        for (const { id, header } of group) add(id, header.recipients);
    } catch (error) {
      if (isMissing(error)) throw error;
      this.#fileFaults.met(segmentPlace(segment.name), error);
      return true;
    }
    this.#fileFaults.over(segmentPlace(segment.name));
    if (!this.isWhole(segment, { found, damaged: cursor.damaged })) return true;
    sample.trim();
    segment.unsettled = sample;
    return sample.counted > most;
  }

  /**
   * Whether a complete segment that was read again still has all that it had, so that its unsettled messages were found. A
   * shared file system may show an earlier age of a file: one with fewer records than before is left alone, and damage counts
   * when it is found a second time. A damaged segment is put aside instead of being removed.
   */
  isWhole(segment: KnownSegment, { found, damaged }: { found: number; damaged: boolean }): boolean {
    if (segment.cursor.damaged) return true;
    if (!damaged) return found >= segment.messages;
    if (!this.isSecondLook(segment)) {
      segment.suspectSince ??= this.#refreshes;
      return false;
    }
    segment.cursor.damaged = true;
    this.damaged = true;
    return true;
  }

  /** Whether damage was found in it before the last refresh, and is reported when it is found again. */
  isSecondLook({ suspectSince, cursor }: KnownSegment): boolean {
    return suspectSince !== undefined && suspectSince < this.#refreshes && !cursor.damaged;
  }

  /**
   * What the records of a complete segment settle.
   * @throws SpoolUnavailable, the file system's errors
   */
  async settlementsIn(segment: KnownSegment): Promise<TimedSettlement[]> {
    const settlements: TimedSettlement[] = [];
    if (segment.settlements === 0) return settlements;
    const cursor = { position: 0, damaged: false };
    for await (const group of this.#readAgain(segment, cursor, () => {}))
      for (const { extra } of group) if (extra.settles !== undefined) settlements.push(extra.settles);
    if (settlements.length < segment.settlements && !segment.cursor.damaged)
      throw new SpoolUnavailable(`segment ${segment.name} has fewer records than before`);
    return settlements;
  }

  #readAgain(
    segment: KnownSegment,
    cursor: ScanCursor,
    onDamagedRecord: (record: DamagedRecord) => void,
  ): AsyncGenerator<ScannedRecord[], void> {
    const isReported = this.isSecondLook(segment);
    return this.#records.scanAgain(segment.name, cursor, { onDamagedRecord, isReported });
  }

  /** Names of all large bodies that a message refers to. */
  largeBodies(): Set<string> {
    const names = new Set<string>();
    for (const segment of this.segments.values()) for (const name of segment.large.names()) names.add(name);
    for (const { large } of this.moved.values()) if (large !== undefined) names.add(large);
    return names;
  }

  async #refreshSegment(name: string): Promise<void> {
    const segment = this.segments.get(name) ?? new KnownSegment(name, this.#monotonicMs());
    if (segment.isComplete) return;
    const isFinished = this.#records.isFinished(name);
    try {
      // What is recorded of a message whose envelope is damaged keeps its record, as with any other message.
      const addDamaged = ({ id, header }: DamagedRecord): void => {
        segment.add({ id, recipients: header.recipients, large: undefined });
      };
      for await (const group of this.#records.scan(name, segment.cursor, addDamaged)) {
        for (const { id, header, extra } of group) {
          segment.add({ id, recipients: header.recipients, large: extra.large });
          if (extra.settles !== undefined) segment.settlements++;
        }
      }
    } catch (error) {
      if (isMissing(error)) {
        this.#noteGone(name);
        return;
      }
      // Walked further at the next refresh.
      this.incomplete = true;
      this.#fileFaults.met(segmentPlace(name), error);
      this.segments.set(name, segment);
      return;
    }
    this.#fileFaults.over(segmentPlace(name));
    if (isFinished) segment.complete(this.#index);
    if (segment.cursor.damaged) this.damaged = true;
    this.segments.set(name, segment);
  }

  async #addMoved(id: string): Promise<void> {
    let summary: MovedMessage | undefined;
    try {
      summary = await this.#records.summaryOfMoved(id);
    } catch (error) {
      if (!(error instanceof SpoolUnavailable)) throw error;
      this.incomplete = true;
      return;
    }
    if (summary !== undefined) this.moved.set(id, summary);
    else if ((await statFile(this.#files, movedPath(this.#places, id))) !== undefined) {
      this.damaged = true;
      this.moved.set(id, { id, recipients: unknownRecipients, large: undefined, bytes: 0 });
    }
  }

  async #refreshMoved(): Promise<void> {
    const present = new Set(await this.#records.movedIds());
    for (const id of this.moved.keys()) {
      if (present.has(id)) continue;
      this.moved.delete(id);
      this.#goneMoved.add(id);
    }
    const unknown = [...present].filter((id) => !this.moved.has(id));
    for (let start = 0; start < unknown.length; start += readsAtOnce)
      await Promise.all(unknown.slice(start, start + readsAtOnce).map((id) => this.#addMoved(id)));
  }

  #noteGone(name: string): void {
    const segment = this.segments.get(name);
    if (segment === undefined) return;
    this.#goneSegments.push(segment.filter());
    this.segments.delete(name);
  }
}

/** Of a damaged moved message: it must never count as settled. */
const unknownRecipients = Number.POSITIVE_INFINITY;
