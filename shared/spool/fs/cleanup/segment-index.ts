/**
 * Which messages stand in which segment or own file: what the collector needs to know to free space.
 * Every segment is walked once as it grows; only ids and counts are kept.
 */
import { join } from "node:path";
import type { StateIndex } from "../../state-index.ts";
import { isMissing, listDirectory, statFile } from "../disk/files.ts";
import { numberedNames, parseNumberedName } from "../disk/names.ts";
import type { StampedSettlement } from "../segments/record.ts";
import { type ScanCursor, scanSegment } from "../segments/scan.ts";
import { movedIds, readMovedRecord, type WalkOptions } from "../states/unsettled.ts";

export interface SegmentContents {
  name: string;
  openedMs: number;
  /** It never grows again, and all of it was walked. */
  complete: boolean;
  cursor: ScanCursor;
  ids: string[];
  /** By position in `ids`. */
  recipients: number[];
  /** Bodies in files of their own, by id. */
  large: Map<string, string>;
  /** What its records settle. */
  settles: StampedSettlement[];
}

export interface MovedMessages {
  recipients: number;
  length: number;
  large: string | undefined;
}

export class SegmentIndex {
  readonly #options: WalkOptions;
  readonly segments = new Map<string, SegmentContents>();
  readonly own = new Map<string, MovedMessages>();
  /** Ids in places that went, until a whole census reports them. */
  readonly #gone: string[][] = [];
  /** Something could not be read: what it refers to is not known. */
  damaged = false;

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  /**
   * Afterwards every message that had been accepted before the call, and is still there, is counted.
   * Segments first, then own files, since messages move in that direction only.
   * @param goOn  called between segments; may throw to end the work
   * @returns the ids that the last census counted in places which are gone now
   */
  async take(goOn: () => void): Promise<string[]> {
    const { files, places, registry } = this.#options;
    const names = numberedNames(await listDirectory(files, places.segments), ".seg");
    await registry.refresh();
    const present = new Set(names);
    for (const [name, segment] of this.segments) {
      if (present.has(name)) continue;
      this.#gone.push(segment.ids);
      this.segments.delete(name);
    }
    for (const name of names) {
      goOn();
      await this.#walk(name);
    }
    this.#gone.push(await this.#walkMoved());
    return this.#gone.splice(0).flat();
  }

  /** The ids of all messages that were counted. */
  async ids(): Promise<Set<string>> {
    const ids = new Set(this.own.keys());
    for (const segment of this.segments.values()) {
      for (const id of segment.ids) ids.add(id);
      await new Promise(setImmediate);
    }
    return ids;
  }

  /** How many of its messages are not settled; stops counting above `most`. */
  unsettledIn(segment: SegmentContents, index: StateIndex, most: number): number {
    let count = 0;
    for (let i = 0; i < segment.ids.length && count <= most; i++)
      if (!index.isSettled(segment.ids[i] ?? "", segment.recipients[i] ?? 0)) count++;
    return count;
  }

  /** Names of all bodies that a message refers to. */
  largeBodies(): Set<string> {
    const names = new Set<string>();
    for (const { large } of this.segments.values()) for (const name of large.values()) names.add(name);
    for (const { large } of this.own.values()) if (large !== undefined) names.add(large);
    return names;
  }

  async #walk(name: string): Promise<void> {
    const { files, places, registry, onFault } = this.#options;
    const segment = this.segments.get(name) ?? newSegmentIndex(name);
    if (segment.complete) return;
    const closed = registry.isFinishedName("segment", name);
    const open = this.#options.openSegment();
    const path = join(places.segments, `${name}.seg`);
    const limit = open?.name === name ? { limit: open.length } : {};
    try {
      const scan = { files, path, segment: name, closed, onFault, ...limit };
      for await (const group of scanSegment(scan, segment.cursor)) {
        for (const { id, header, extra } of group) {
          segment.ids.push(id);
          segment.recipients.push(header.recipients);
          if (extra.large !== undefined) segment.large.set(id, extra.large);
          if (extra.settles !== undefined) segment.settles.push(extra.settles);
        }
      }
    } catch (error) {
      if (!isMissing(error)) throw error;
      this.segments.delete(name);
      return;
    }
    segment.complete = closed;
    if (segment.cursor.damaged) this.damaged = true;
    this.segments.set(name, segment);
  }

  async #walkMoved(): Promise<string[]> {
    const { files, places } = this.#options;
    const present = new Set(await movedIds(files, places));
    const gone = [...this.own.keys()].filter((id) => !present.has(id));
    for (const id of gone) this.own.delete(id);
    for (const id of present) {
      if (this.own.has(id)) continue;
      const record = await readMovedRecord(this.#options, id);
      if (record !== undefined) {
        const { header, extra, length } = record;
        this.own.set(id, { recipients: header.recipients, length, large: extra.large });
      } else if ((await statFile(files, join(places.own, `${id}.msg`))) !== undefined) {
        this.damaged = true;
        this.own.set(id, { recipients: unknownRecipients, length: 0, large: undefined });
      }
    }
    return gone;
  }
}

/** Of a file that cannot be read: it never counts as settled, and stays. */
const unknownRecipients = -1;

function newSegmentIndex(name: string): SegmentContents {
  return {
    name,
    openedMs: parseNumberedName(name)?.openedMs ?? 0,
    complete: false,
    cursor: { position: 0, damaged: false },
    ids: [],
    recipients: [],
    large: new Map(),
    settles: [],
  };
}
