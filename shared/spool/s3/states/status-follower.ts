/**
 * Follows what all processes settle, and puts it into the index: their status entries, and the records that settle messages.
 * An object of either kind never changes, and is read once. Owns a timer, until close().
 */
import type { OnFault } from "../../fault.ts";
import type { FileFaults } from "../../file-faults.ts";
import type { CompleteLog } from "../../log-compaction.ts";
import { parseLog } from "../../records/status-format.ts";
import { coalesced } from "../../sequence.ts";
import type { StateIndex } from "../../state-index.ts";
import { messagesPlace, nameInKey, statesPlace } from "../store/names.ts";
import type { ListedObject, ObjectStore } from "../store/object-store.ts";
import { readSegment } from "../store/read-segment.ts";

export interface StatusFollowerOptions {
  store: ObjectStore;
  index: StateIndex;
  /** The name of this process as a writer: its own entries are in the index when they are written. */
  writer: string;
  followMs: number;
  impliedMs: number;
  fileFaults: FileFaults;
  onFault: OnFault;
  monotonicMs: () => number;
}

/** Objects that are read at the same time. */
const readsAtOnce = 16;
/** Lists in a row from which something is gone when it is read. */
const mostLists = 5;
/** An object of this process that it does not know of after so long: its write was not answered. */
const unansweredMs = 120_000;

export class StatusFollower {
  readonly #options: StatusFollowerOptions;
  /** Objects with status entries that are in the index completely, by key, with their octets. */
  readonly #known = new Map<string, number>();
  /** Objects with records that settle messages, whose settlements are in the index. */
  readonly #implied = new Set<string>();
  /** Keys that were missing from the last list. */
  #missing: ReadonlySet<string> = new Set();
  /** When own objects without an answer were first listed. */
  readonly #unanswered = new Map<string, number>();
  #impliedAtMs = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** Reads what all processes have recorded up to the call. */
  readonly refresh: () => Promise<void> = coalesced(() => this.#refreshStates());
  /** The same, with what records settle. */
  readonly refreshAll: () => Promise<void> = coalesced(async () => {
    // Listed first: the settlements of an object that is gone were recorded before.
    const settling = await this.#listSettling();
    await this.refresh();
    await this.#readSettling(settling);
  });

  constructor(options: StatusFollowerOptions) {
    this.#options = options;
  }

  /** Reads everything once; the index is complete afterwards. */
  load(): Promise<void> {
    this.#loading ??= this.refreshAll().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Begins to refresh now and then; a process that settles nothing and asks for no states need not. */
  follow(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    let isRunning = false;
    const report = (error: unknown): void =>
      this.#options.onFault({ kind: "background", doing: "reading settlements", error });
    const refresh = async (): Promise<void> => {
      const { monotonicMs, impliedMs } = this.#options;
      await (monotonicMs() - this.#impliedAtMs >= impliedMs ? this.refreshAll() : this.refresh());
    };
    this.#timer = setInterval(() => {
      // A store that is slow is not asked more often.
      if (isRunning) return;
      isRunning = true;
      void refresh()
        .catch(report)
        .finally(() => {
          isRunning = false;
        });
    }, this.#options.followMs).unref();
  }

  /** An object that this process has written, and whose entries are in the index. */
  noteWritten(key: string, bytes: number): void {
    this.#known.set(key, bytes);
  }

  /** Objects that are in the index completely. */
  completeLogs(): CompleteLog[] {
    return [...this.#known]
      .filter(([key]) => !this.#missing.has(key))
      .map(([name, bytes]) => ({ name, bytes }));
  }

  async close(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #refreshStates(): Promise<void> {
    for (let lists = 0; lists < mostLists; lists++) {
      const listed = (await this.#options.store.list(statesPlace)).filter(
        ({ key }) => nameInKey(key) !== undefined,
      );
      const unknown = listed.filter((one) => !this.#known.has(one.key) && this.#isToBeRead(one.key));
      let isGone = false;
      await inGroups(unknown, readsAtOnce, async (one) => {
        if (!(await this.#readStates(one))) isGone = true;
      });
      this.#dropGone(new Set(listed.map(({ key }) => key)));
      // What was compacted between the list and the read is in an object that the next list has.
      if (!isGone) return;
    }
  }

  /** An own object is in the index, or about to be, unless the answer to its write was lost. */
  #isToBeRead(key: string): boolean {
    const { writer, monotonicMs } = this.#options;
    if (nameInKey(key)?.writer !== writer) return true;
    const sinceMs = this.#unanswered.get(key);
    if (sinceMs === undefined) this.#unanswered.set(key, monotonicMs());
    return sinceMs !== undefined && monotonicMs() - sinceMs > unansweredMs;
  }

  /** @returns false when the object is gone */
  async #readStates({ key }: ListedObject): Promise<boolean> {
    const { store, index, fileFaults, onFault } = this.#options;
    try {
      let octets = await store.get(key);
      if (octets !== undefined && parseLog(octets).damaged.length > 0) octets = await store.get(key);
      fileFaults.over(key);
      if (octets === undefined) return false;
      const { entries, damaged, consumed } = parseLog(octets);
      if (this.#known.has(key)) return true;
      for (const { id, entry } of entries) index.apply(id, entry, key);
      this.#known.set(key, octets.length);
      const end = { offset: consumed, length: octets.length - consumed };
      for (const each of end.length > 0 ? [...damaged, end] : damaged)
        onFault({ kind: "damaged", place: key, ...each });
    } catch (error) {
      // Read again at the next refresh; everything else counts.
      fileFaults.met(key, error);
    }
    return true;
  }

  /** An object is dropped when two lists in a row lack it: the next one may be of another age. */
  #dropGone(present: ReadonlySet<string>): void {
    const { index } = this.#options;
    const missing = new Set<string>();
    for (const key of this.#known.keys()) {
      if (present.has(key)) continue;
      if (!this.#missing.has(key)) {
        missing.add(key);
        continue;
      }
      this.#known.delete(key);
      index.dropSource(key);
    }
    for (const key of this.#unanswered.keys()) if (!present.has(key)) this.#unanswered.delete(key);
    this.#missing = missing;
  }

  async #listSettling(): Promise<ListedObject[]> {
    const { store, writer, monotonicMs } = this.#options;
    this.#impliedAtMs = monotonicMs();
    return (await store.list(messagesPlace)).filter(({ key }) => {
      const name = nameInKey(key);
      // What own records settle has been in the index since the commit.
      return name?.settling === true && name.writer !== writer;
    });
  }

  async #readSettling(listed: readonly ListedObject[]): Promise<void> {
    const { store, index, fileFaults } = this.#options;
    const present = new Set(listed.map(({ key }) => key));
    for (const key of this.#implied) {
      if (present.has(key)) continue;
      this.#implied.delete(key);
      index.dropSource(key);
    }
    const unknown = listed.filter(({ key }) => !this.#implied.has(key));
    await inGroups(unknown, readsAtOnce, async ({ key }) => {
      try {
        const segment = await readSegment(store, key);
        if (segment === undefined) return;
        for (const { extra } of segment.records)
          if (extra.settles !== undefined) index.apply(extra.settles.id, extra.settles, key);
        this.#implied.add(key);
      } catch (error) {
        fileFaults.met(key, error);
      }
    });
  }
}

async function inGroups<T>(all: readonly T[], size: number, work: (one: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < all.length; start += size)
    await Promise.all(all.slice(start, start + size).map(work));
}
