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

/** What the index has of a message: most have one entry in one log, and it alone is kept for these. */
type Indexed = StatusEntry | IndexedMessage;

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
  readonly #messages = new Map<string, Indexed>();
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
    const known = this.#messages.get(id);
    if (known === undefined) {
      this.#messages.set(id, entry);
      return;
    }
    let message: IndexedMessage;
    if ("entries" in known) message = known;
    else {
      message = { entries: [known], mentions: 1, foldAt: firstFold };
      this.#messages.set(id, message);
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
      if (!("entries" in message) || --message.mentions === 0) this.#messages.delete(id);
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
    return foldEntries(this.#entries(id));
  }

  /** By recipient index; absent recipients are pending. */
  states(id: string): ReadonlyMap<number, RecipientState> {
    return this.#messages.has(id) ? mergeStates(this.#entries(id)) : none;
  }

  /** @param recipients  number of recipients in the envelope */
  isSettled(id: string, recipients: number): boolean {
    const message = this.#messages.get(id);
    if (message === undefined) return allRecipientsSettled(none, recipients);
    const only = "entries" in message ? undefined : message;
    // Most messages: one recipient, settled once. Answered without a map.
    if (recipients === 1 && only !== undefined) return only.recipients.includes(0) && isSettled(only.state);
    return allRecipientsSettled(mergeStates(this.#entries(id)), recipients);
  }

  #entries(id: string): readonly StatusEntry[] {
    const message = this.#messages.get(id);
    if (message === undefined) return [];
    return "entries" in message ? message.entries : [message];
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
