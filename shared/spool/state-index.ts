/**
 * The recipients' states in memory, by message id: what the status logs say (pure).
 * An id stays as long as a log that mentions it, so the index is as large as the logs and no larger. A message whose recipients
 * have one state together takes some 40 octets; one with several, or with a diagnosis, has them as objects.
 */
import { IdTable, numbersPerChunk } from "./id-table.ts";
import { isSettledCode, plainCode, plainEntry } from "./plain-entry.ts";
import {
  allRecipientsSettled,
  foldEntries,
  type LogicalClock,
  mergeStates,
  type RecipientState,
  type StatusEntry,
} from "./recipient-state.ts";

/** What the index has of some messages, each at its number modulo their count. */
class Columns {
  /** Of the state, see plainCode(); zero: the entries are in the map of those that are not plain. */
  readonly codes = new Uint8Array(numbersPerChunk);
  /** How many recipients have it, from the first one on. */
  readonly recipients = new Uint8Array(numbersPerChunk);
  readonly timestamps = new Float64Array(numbersPerChunk);
  /** How often sources that still exist mention the message. */
  readonly mentions = new Uint16Array(numbersPerChunk);
}

/** What has as many mentions is never forgotten: nobody has counted further. */
const mostMentions = 0xffff;

/** In the order in which they were read; few, since folding keeps only those that count. */
interface Entries {
  entries: StatusEntry[];
  /** The number of entries at which they are folded again. */
  foldAt: number;
}

/** So few entries are folded whenever one is added: most of them become a plain one. */
const fewEntries = 4;
const none: ReadonlyMap<number, RecipientState> = new Map();

export class StateIndex {
  readonly #clock: LogicalClock;
  readonly #ids = new IdTable();
  /** By the number of their chunk. */
  readonly #columns: (Columns | undefined)[] = [];
  /** What is not plain, by the number of the message. */
  readonly #entries = new Map<number, Entries>();
  /** The numbers of the messages that each source mentions, once for each mention. */
  readonly #numbersBySource = new Map<string, NumberList>();

  constructor(clock: LogicalClock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#ids.size;
  }

  /** How many of its messages have their entries as objects. */
  get objects(): number {
    return this.#entries.size;
  }

  has(id: string): boolean {
    return this.#ids.find(id) !== undefined;
  }

  /** @param source  the log or segment that contains the entry; see dropSource() */
  apply(id: string, entry: StatusEntry, source: string): void {
    this.#clock.observe(entry.timestamp);
    const number = this.#ids.add(id);
    let numbers = this.#numbersBySource.get(source);
    if (numbers === undefined) {
      numbers = new NumberList();
      this.#numbersBySource.set(source, numbers);
    }
    numbers.add(number);
    const columns = this.#columnsOf(number);
    const at = number % numbersPerChunk;
    const mentions = columns.mentions[at] ?? 0;
    columns.mentions[at] = Math.min(mentions + 1, mostMentions);
    if (mentions === 0) this.#put(number, [entry]);
    else this.#add(number, entry);
  }

  /** Forgets a source that was removed, and the messages that no other source mentions. */
  dropSource(source: string): void {
    for (const number of this.#numbersBySource.get(source)?.all() ?? []) {
      const columns = this.#columnsOf(number);
      const at = number % numbersPerChunk;
      const mentions = columns.mentions[at] ?? 0;
      if (mentions === mostMentions) continue;
      columns.mentions[at] = mentions - 1;
      if (mentions > 1) continue;
      this.#entries.delete(number);
      if (this.#ids.remove(number)) this.#columns[Math.floor(number / numbersPerChunk)] = undefined;
    }
    this.#numbersBySource.delete(source);
  }

  sources(): string[] {
    return [...this.#numbersBySource.keys()];
  }

  /** How often a source mentions messages. */
  mentionsIn(source: string): number {
    return this.#numbersBySource.get(source)?.length ?? 0;
  }

  /** The messages that a source mentions, once for each mention. */
  *idsOf(source: string): Generator<string, void> {
    for (const number of this.#numbersBySource.get(source)?.all() ?? []) yield this.#ids.idOf(number);
  }

  entriesOf(id: string): readonly StatusEntry[] {
    return foldEntries(this.#entriesAt(this.#ids.find(id)));
  }

  /** By recipient index; absent recipients are pending. */
  states(id: string): ReadonlyMap<number, RecipientState> {
    const number = this.#ids.find(id);
    return number === undefined ? none : mergeStates(this.#entriesAt(number));
  }

  /** @param recipients  number of recipients in the envelope */
  isSettled(id: string, recipients: number): boolean {
    const number = this.#ids.find(id);
    if (number === undefined) return allRecipientsSettled(none, recipients);
    const columns = this.#columnsOf(number);
    const at = number % numbersPerChunk;
    const code = columns.codes[at] ?? 0;
    // Most messages: answered without a map.
    if (code !== 0)
      return recipients === 0 || (isSettledCode(code) && recipients <= (columns.recipients[at] ?? 0));
    return allRecipientsSettled(mergeStates(this.#entriesAt(number)), recipients);
  }

  #columnsOf(number: number): Columns {
    const chunk = Math.floor(number / numbersPerChunk);
    this.#columns[chunk] ??= new Columns();
    return this.#columns[chunk];
  }

  #entriesAt(number: number | undefined): readonly StatusEntry[] {
    if (number === undefined) return [];
    const columns = this.#columnsOf(number);
    const at = number % numbersPerChunk;
    const code = columns.codes[at] ?? 0;
    if (code === 0) return this.#entries.get(number)?.entries ?? [];
    return [plainEntry(code, columns.recipients[at] ?? 0, columns.timestamps[at] ?? 0)];
  }

  #add(number: number, entry: StatusEntry): void {
    const known = this.#entries.get(number);
    const entries = known?.entries ?? [...this.#entriesAt(number)];
    entries.push(entry);
    if (entries.length <= fewEntries || entries.length >= (known?.foldAt ?? 0))
      this.#put(number, foldEntries(entries));
  }

  #put(number: number, entries: StatusEntry[]): void {
    const columns = this.#columnsOf(number);
    const at = number % numbersPerChunk;
    const only = entries.length === 1 ? entries[0] : undefined;
    const code = only === undefined ? 0 : plainCode(only);
    columns.codes[at] = code;
    if (only === undefined || code === 0) {
      this.#entries.set(number, { entries, foldAt: entries.length * 2 });
      return;
    }
    columns.recipients[at] = only.recipients.length;
    columns.timestamps[at] = only.timestamp;
    this.#entries.delete(number);
  }
}

/** Numbers in their order, in 4 octets each and a quarter more. */
class NumberList {
  #numbers = new Uint32Array(4);
  length = 0;

  add(number: number): void {
    if (this.length === this.#numbers.length) {
      const grown = new Uint32Array(Math.ceil(this.length * 1.5));
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers[this.length++] = number;
  }

  all(): Uint32Array {
    return this.#numbers.subarray(0, this.length);
  }
}

/** The states as the logs record them, together with those that records of living writers imply (pure). */
export class KnownStates {
  readonly #recorded: StateIndex;
  readonly #implied: StateIndex;

  /** @param implied  see fs/states/implied-settlements.ts */
  constructor(recorded: StateIndex, implied: StateIndex) {
    this.#recorded = recorded;
    this.#implied = implied;
  }

  /** By recipient index; absent recipients are pending. */
  of(id: string): ReadonlyMap<number, RecipientState> {
    if (!this.#implied.has(id)) return this.#recorded.states(id);
    return mergeStates([...this.#recorded.entriesOf(id), ...this.#implied.entriesOf(id)]);
  }

  isSettled(id: string, recipients: number): boolean {
    if (!this.#implied.has(id)) return this.#recorded.isSettled(id, recipients);
    return allRecipientsSettled(this.of(id), recipients);
  }
}
