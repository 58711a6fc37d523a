/**
 * What is known of messages' recipients, in memory: the contents of the settle logs, by message id (pure).
 * An entry stays as long as a log that names the message, so the index is as large as the logs and no larger.
 */

import {
  isWarning,
  type LogicalClock,
  outlives,
  type StampedState,
  type StatusEntry,
  winner,
} from "./logical-timestamp.ts";
import { isSettled, type RecipientState } from "./spool.ts";

interface Entry {
  /** In the order they came; few, since folding keeps only what counts. */
  statusEntries: StatusEntry[];
  /** Mentions in sources that are still there. */
  mentions: number;
  /** The number of marks at which they are folded again. */
  foldAt: number;
}

const firstFold = 8;
const none: ReadonlyMap<number, RecipientState> = new Map();

export class SettleIndex {
  readonly #clock: LogicalClock;
  readonly #entries = new Map<string, Entry>();
  /** The ids that each source mentions, once for each mention. */
  readonly #sources = new Map<string, string[]>();

  constructor(clock: LogicalClock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** @param source  the log (or segment) that says so; see dropSource() */
  apply(id: string, statusEntry: StatusEntry, source: string): void {
    this.#clock.observe(statusEntry.timestamp);
    const mentioned = this.#sources.get(source);
    if (mentioned === undefined) this.#sources.set(source, [id]);
    else mentioned.push(id);
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      this.#entries.set(id, { statusEntries: [statusEntry], mentions: 1, foldAt: firstFold });
      return;
    }
    entry.mentions++;
    entry.statusEntries.push(statusEntry);
    if (entry.statusEntries.length < entry.foldAt) return;
    entry.statusEntries = foldEntries(entry.statusEntries);
    entry.foldAt = Math.max(firstFold, entry.statusEntries.length * 2);
  }

  /** The source is gone, and with it what only it said. */
  dropSource(source: string): void {
    for (const id of this.#sources.get(source) ?? []) {
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      entry.mentions--;
      if (entry.mentions === 0) this.#entries.delete(id);
    }
    this.#sources.delete(source);
  }

  sources(): string[] {
    return [...this.#sources.keys()];
  }

  idsOf(source: string): readonly string[] {
    return this.#sources.get(source) ?? [];
  }

  entriesOf(id: string): readonly StatusEntry[] {
    return foldEntries(this.#entries.get(id)?.statusEntries ?? []);
  }

  /** By index; absent recipients are pending. */
  states(id: string): ReadonlyMap<number, RecipientState> {
    const entry = this.#entries.get(id);
    return entry === undefined ? none : mergedStates(entry.statusEntries);
  }

  /** Whether nothing is owed to any of `recipients` recipients. */
  isSettled(id: string, recipients: number): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return recipients === 0;
    const only = entry.statusEntries.length === 1 ? entry.statusEntries[0] : undefined;
    if (only !== undefined && recipients === 1) return only.recipients.includes(0) && isSettled(only.state);
    let settled = 0;
    for (const [recipient, { state }] of resolve(entry.statusEntries).states)
      if (recipient < recipients && isSettled(state)) settled++;
    return settled === recipients;
  }
}

export function mergedStates(statusEntries: readonly StatusEntry[]): ReadonlyMap<number, RecipientState> {
  const states = new Map<number, RecipientState>();
  const resolved = resolve(statusEntries);
  for (const [recipient, { state }] of resolved.states) states.set(recipient, state);
  for (const [recipient, warning] of resolved.warnings)
    if (outlives(warning, resolved.states.get(recipient))) states.set(recipient, warning.state);
  return states;
}

interface Resolved {
  states: Map<number, StampedState>;
  warnings: ReadonlyMap<number, StampedState>;
}

const noWarnings: ReadonlyMap<number, StampedState> = new Map();

function resolve(statusEntries: readonly StatusEntry[]): Resolved {
  const states = new Map<number, StampedState>();
  let warnings: Map<number, StampedState> | undefined;
  for (const statusEntry of statusEntries) {
    let into = states;
    if (isWarning(statusEntry.state)) {
      warnings ??= new Map();
      into = warnings;
    }
    for (const recipient of statusEntry.recipients)
      into.set(recipient, winner(into.get(recipient), statusEntry));
  }
  return { states, warnings: warnings ?? noWarnings };
}

/** The same knowledge in the fewest marks. */
export function foldEntries(statusEntries: readonly StatusEntry[]): StatusEntry[] {
  if (statusEntries.length < 2) return [...statusEntries];
  const groups = new Map<StampedState, number[]>();
  const { states, warnings } = resolve(statusEntries);
  for (const [recipient, statusEntry] of [...states, ...warnings]) {
    const group = groups.get(statusEntry);
    if (group === undefined) groups.set(statusEntry, [recipient]);
    else group.push(recipient);
  }
  const folded: StatusEntry[] = [];
  for (const [{ state, timestamp }, recipients] of groups) folded.push({ recipients, state, timestamp });
  return folded;
}
