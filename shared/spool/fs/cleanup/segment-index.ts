/**
 * The segment index: which messages are in which segment or moved file, as the collector needs it to free space.
 * Each segment is walked once as it grows; only ids and counts are kept. Owns nothing.
 */

import type { FileFaults } from "../../file-faults.ts";
import { type IndexedMessage, SegmentContents } from "../../records/segment-contents.ts";
import type { DamagedRecord } from "../../records/window.ts";
import { SpoolUnavailable } from "../../spool.ts";
import { isMissing, type SpoolFiles, statFile } from "../disk/files.ts";
import { movedPath, type Places, segmentPlace } from "../disk/names.ts";
import type { StoredRecords } from "../segments/stored-records.ts";

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
  readonly #monotonicMs: () => number;
  readonly segments = new Map<string, SegmentContents>();
  /** By id. */
  readonly moved = new Map<string, MovedMessage>();
  /** Ids in segments and moved files that are gone, until a complete refresh reports them. */
  readonly #gone: string[][] = [];
  /** A record is damaged, and what it refers to is not known. */
  damaged = false;
  /** At the last refresh something could not be read, and which messages are there is not known. */
  incomplete = false;

  constructor(options: {
    files: SpoolFiles;
    places: Places;
    records: StoredRecords;
    fileFaults: FileFaults;
    monotonicMs: () => number;
  }) {
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
   * @returns the ids that the last refresh found in segments or moved files that are gone now
   */
  async refresh(mayGoOn: () => void): Promise<string[]> {
    this.incomplete = false;
    const names = await this.#records.segmentNames();
    const present = new Set(names);
    for (const [name, segment] of this.segments) {
      if (present.has(name)) continue;
      this.#gone.push([...segment.messages.ids()]);
      this.segments.delete(name);
    }
    for (const name of names) {
      mayGoOn();
      await this.#refreshSegment(name);
    }
    this.#gone.push(await this.#refreshMoved());
    return this.#gone.splice(0).flat();
  }

  /** Those of these ids whose messages exist. */
  async presentAmong(ids: ReadonlySet<string>): Promise<Set<string>> {
    const present = new Set<string>();
    if (ids.size === 0) return present;
    for (const id of ids) if (this.moved.has(id)) present.add(id);
    for (const segment of this.segments.values()) {
      for (const id of segment.messages.ids()) if (ids.has(id)) present.add(id);
      await new Promise(setImmediate);
    }
    return present;
  }

  /** Names of all large bodies that a message refers to. */
  largeBodies(): Set<string> {
    const names = new Set<string>();
    for (const segment of this.segments.values()) for (const name of segment.largeBodies()) names.add(name);
    for (const { large } of this.moved.values()) if (large !== undefined) names.add(large);
    return names;
  }

  async #refreshSegment(name: string): Promise<void> {
    const segment = this.segments.get(name) ?? new SegmentContents(name, this.#monotonicMs());
    if (segment.complete) return;
    const isFinished = this.#records.isFinished(name);
    try {
      // What is recorded of a message whose envelope is damaged keeps its record, as with any other message.
      const addDamaged = ({ id, header }: DamagedRecord): void => {
        segment.add({ id, recipients: header.recipients, large: undefined });
      };
      for await (const group of this.#records.scan(name, segment.cursor, addDamaged)) {
        for (const { id, header, extra } of group) {
          segment.add({ id, recipients: header.recipients, large: extra.large });
          if (extra.settles !== undefined) segment.settlements.push(extra.settles);
        }
      }
    } catch (error) {
      if (isMissing(error)) {
        this.segments.delete(name);
        return;
      }
      // Walked further at the next refresh.
      this.incomplete = true;
      this.#fileFaults.met(segmentPlace(name), error);
      this.segments.set(name, segment);
      return;
    }
    this.#fileFaults.over(segmentPlace(name));
    segment.complete = isFinished;
    if (isFinished) segment.messages.trim();
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

  async #refreshMoved(): Promise<string[]> {
    const present = new Set(await this.#records.movedIds());
    const gone = [...this.moved.keys()].filter((id) => !present.has(id));
    for (const id of gone) this.moved.delete(id);
    const unknown = [...present].filter((id) => !this.moved.has(id));
    for (let start = 0; start < unknown.length; start += readsAtOnce)
      await Promise.all(unknown.slice(start, start + readsAtOnce).map((id) => this.#addMoved(id)));
    return gone;
  }
}

/** Of a damaged moved message: it must never count as settled. */
const unknownRecipients = Number.POSITIVE_INFINITY;
