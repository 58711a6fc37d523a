/**
 * The recipients' states in memory, by message id: what the status logs say (pure).
 * An id stays as long as a log that mentions it, so the index is as large as the logs and no larger.
 */
import {
  allRecipientsSettled,
  foldEntries,
  isSettled,
  type LogicalClock,
  mergeStates,
  type RecipientState,
  type StatusEntry,
} from "./recipient-state.ts";

interface IndexedMessage {
  /** In the order in which they were read; few, since folding keeps only those that count. */
  entries: StatusEntry[];
  /** How often sources that still exist mention the message. */
  mentions: number;
  /** The number of entries at which they are folded again. */
  foldAt: number;
}

const firstFold = 8;
const none: ReadonlyMap<number, RecipientState> = new Map();

export class StateIndex {
  readonly #clock: LogicalClock;
  readonly #messages = new Map<string, IndexedMessage>();
  /** The ids that each source mentions, once for each mention. */
  readonly #idsBySource = new Map<string, string[]>();

  constructor(clock: LogicalClock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#messages.size;
  }

  has(id: string): boolean {
    return this.#messages.has(id);
  }

  /** @param source  the log or segment that contains the entry; see dropSource() */
  apply(id: string, entry: StatusEntry, source: string): void {
    this.#clock.observe(entry.timestamp);
    const ids = this.#idsBySource.get(source);
    if (ids === undefined) this.#idsBySource.set(source, [id]);
    else ids.push(id);
    const message = this.#messages.get(id);
    if (message === undefined) {
      this.#messages.set(id, { entries: [entry], mentions: 1, foldAt: firstFold });
      return;
    }
    message.mentions++;
    message.entries.push(entry);
    if (message.entries.length < message.foldAt) return;
    message.entries = foldEntries(message.entries);
    message.foldAt = Math.max(firstFold, message.entries.length * 2);
  }

  /** Forgets a source that was removed, and the messages that no other source mentions. */
  dropSource(source: string): void {
    for (const id of this.#idsBySource.get(source) ?? []) {
      const message = this.#messages.get(id);
      if (message === undefined) continue;
      message.mentions--;
      if (message.mentions === 0) this.#messages.delete(id);
    }
    this.#idsBySource.delete(source);
  }

  sources(): string[] {
    return [...this.#idsBySource.keys()];
  }

  idsOf(source: string): readonly string[] {
    return this.#idsBySource.get(source) ?? [];
  }

  entriesOf(id: string): readonly StatusEntry[] {
    return foldEntries(this.#messages.get(id)?.entries ?? []);
  }

  /** By recipient index; absent recipients are pending. */
  states(id: string): ReadonlyMap<number, RecipientState> {
    const message = this.#messages.get(id);
    return message === undefined ? none : mergeStates(message.entries);
  }

  /** @param recipients  number of recipients in the envelope */
  isSettled(id: string, recipients: number): boolean {
    const entries = this.#messages.get(id)?.entries;
    const only = entries?.length === 1 ? entries[0] : undefined;
    // Most messages: one recipient, settled once. Answered without a map.
    if (recipients === 1 && only !== undefined) return only.recipients.includes(0) && isSettled(only.state);
    return allRecipientsSettled(entries === undefined ? none : mergeStates(entries), recipients);
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
