/**
 * Which messages are in which object. Each object is read once, since it never changes; only ids and counts are kept.
 * Owns nothing.
 */
import type { FileFaults } from "../../file-faults.ts";
import { locatorOf } from "../../records/parse-record.ts";
import { coalesced } from "../../sequence.ts";
import { type Locator, SpoolUnavailable } from "../../spool.ts";
import { compactedPlace, compactionCounts, isSegmentKey, messagesPlace } from "../store/names.ts";
import type { ListedObject, ObjectStore } from "../store/object-store.ts";
import { type ReadSegment, readSegment, segmentOf } from "../store/read-segment.ts";
import type { LocalCache } from "./local-cache.ts";
import { ObjectContents } from "./object-contents.ts";

/** An object with records of messages. */
export interface IndexedSegment {
  key: string;
  size: number;
  /** By the store's clock. */
  modifiedMs: number;
  contents: ObjectContents;
}

export interface MessageIndexOptions {
  store: ObjectStore;
  cache: LocalCache;
  fileFaults: FileFaults;
  monotonicMs: () => number;
  /** Hears of damage, once for each place. */
  onDamaged(place: string, offset: number, length: number): void;
}

/** Objects that are read at the same time. */
const readsAtOnce = 8;

export class MessageIndex {
  readonly #options: MessageIndexOptions;
  /** By key. */
  readonly #segments = new Map<string, IndexedSegment>();
  /** Where messages are that were compacted, by id. */
  readonly #compacted = new Map<string, Locator>();
  /** Ids in objects that are gone, until takeGone(). */
  #gone: string[] = [];
  /** Compacted objects that came too late to count. */
  voided: readonly string[] = [];
  /** At the last refresh something could not be read, and which messages are there is not known. */
  incomplete = false;

  /** Afterwards every message that had been accepted before the call, and still exists, is indexed. */
  readonly refresh: () => Promise<void> = coalesced(() => this.#refresh());
  /** The same, of compacted objects alone. */
  readonly refreshCompacted: () => Promise<void> = coalesced(async () => {
    await this.#refreshPlace(compactedPlace);
  });

  constructor(options: MessageIndexOptions) {
    this.#options = options;
  }

  /** The oldest first, and compacted ones last: messages move in that direction only. */
  segments(): IndexedSegment[] {
    const byAge = [...this.#segments.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    const isCompacted = ({ key }: IndexedSegment): boolean => key.startsWith(compactedPlace);
    return [...byAge.filter((one) => !isCompacted(one)), ...byAge.filter(isCompacted)];
  }

  /** Where a message is that was compacted, as far as that is known. */
  compacted(id: string): Locator | undefined {
    return this.#compacted.get(id);
  }

  /** An object that this process has removed. */
  noteRemoved(key: string): void {
    this.#drop(key);
  }

  /** The ids in objects that have gone since the last call. */
  takeGone(): string[] {
    const gone = this.#gone;
    this.#gone = [];
    return gone;
  }

  /** Those of these ids whose messages exist. */
  async presentAmong(ids: ReadonlySet<string>): Promise<Set<string>> {
    const present = new Set<string>();
    if (ids.size === 0) return present;
    for (const { contents } of [...this.#segments.values()]) {
      for (const id of contents.messages.ids()) if (ids.has(id)) present.add(id);
      await new Promise(setImmediate);
    }
    return present;
  }

  /** Names of all large bodies that a message refers to. */
  largeBodies(): Set<string> {
    const names = new Set<string>();
    for (const { contents } of this.#segments.values())
      for (const name of contents.large.names()) names.add(name);
    return names;
  }

  /**
   * Finds a message without a locator.
   * @throws SpoolUnavailable when it is not found, and not everything could be read
   */
  async find(id: string): Promise<Locator | undefined> {
    await this.refresh();
    const compacted = this.#compacted.get(id);
    if (compacted !== undefined) return compacted;
    for (const { key, contents } of this.segments()) {
      if (!hasId(contents, id)) continue;
      const record = (await this.read(key))?.records.find((each) => each.id === id);
      if (record !== undefined) return locatorOf(key, record);
    }
    if (this.incomplete) throw new SpoolUnavailable("not all objects of the spool could be read");
    return undefined;
  }

  /**
   * The records of an object; undefined when it is gone.
   * @param isFresh  reads it from the store even where there is a local copy
   * @throws StoreFailure
   */
  async read(key: string, isFresh = false): Promise<ReadSegment | undefined> {
    const size = isFresh ? undefined : this.#segments.get(key)?.size;
    return (
      (size === undefined ? undefined : await this.#wholeCopy(key, size)) ??
      readSegment(this.#options.store, key)
    );
  }

  /** What the local copy says, if it is whole. */
  async #wholeCopy(key: string, size: number): Promise<ReadSegment | undefined> {
    const copied = segmentOf(await this.#options.cache.read(key, 0, size), key);
    return copied?.damaged.length === 0 ? copied : undefined;
  }

  async #refresh(): Promise<void> {
    const isWhole = await this.#refreshPlace(messagesPlace);
    this.incomplete = !(await this.#refreshPlace(compactedPlace)) || !isWhole;
  }

  /** @returns whether all objects of this place could be read */
  async #refreshPlace(place: typeof messagesPlace | typeof compactedPlace): Promise<boolean> {
    const listed = (await this.#options.store.list(place)).filter(({ key }) => isSegmentKey(key));
    let counting = listed;
    if (place === compactedPlace) {
      counting = listed.filter(({ key, modifiedMs }) => compactionCounts(key, modifiedMs));
      this.voided = listed.filter((one) => !counting.includes(one)).map(({ key }) => key);
    }
    const present = new Set(counting.map(({ key }) => key));
    for (const key of this.#segments.keys()) if (key.startsWith(place) && !present.has(key)) this.#drop(key);
    const unknown = counting.filter(({ key }) => !this.#segments.has(key));
    let isWhole = true;
    for (let start = 0; start < unknown.length; start += readsAtOnce) {
      const reads = unknown.slice(start, start + readsAtOnce).map((one) => this.#add(one));
      for (const isRead of await Promise.all(reads)) isWhole &&= isRead;
    }
    return isWhole;
  }

  async #add({ key, size, modifiedMs }: ListedObject): Promise<boolean> {
    const { store, fileFaults, onDamaged } = this.#options;
    let segment: ReadSegment | undefined;
    try {
      segment = (await this.#wholeCopy(key, size)) ?? (await readSegment(store, key));
    } catch (error) {
      fileFaults.met(key, error);
      return false;
    }
    fileFaults.over(key);
    // Removed meanwhile.
    if (segment === undefined) return true;
    const { records, damagedRecords, damaged, octets } = segment;
    const contents = new ObjectContents();
    for (const record of records) {
      const { id, header, extra } = record;
      contents.add({ id, recipients: header.recipients, large: extra.large });
      if (extra.settles !== undefined) contents.settlements.push(extra.settles);
      if (key.startsWith(compactedPlace)) this.#compacted.set(id, locatorOf(key, record));
    }
    // What is recorded of a message whose envelope is damaged keeps its record, as with any other message.
    for (const { id, header } of damagedRecords)
      contents.add({ id, recipients: header.recipients, large: undefined });
    for (const { offset, length } of damaged) onDamaged(key, offset, length);
    contents.cursor.position = octets.length;
    contents.cursor.damaged = damaged.length > 0;
    contents.messages.trim();
    this.#segments.set(key, { key, size: octets.length, modifiedMs, contents });
    return true;
  }

  #drop(key: string): void {
    const segment = this.#segments.get(key);
    if (segment === undefined) return;
    this.#segments.delete(key);
    for (const id of segment.contents.messages.ids()) {
      this.#gone.push(id);
      if (this.#compacted.get(id)?.segment === key) this.#compacted.delete(id);
    }
  }
}

function hasId({ messages }: ObjectContents, wanted: string): boolean {
  for (const id of messages.ids()) if (id === wanted) return true;
  return false;
}
