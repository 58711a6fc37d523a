/**
 * What is known of messages' recipients, in memory: the contents of the settle logs, by message id (pure).
 * An entry stays as long as a log that names the message, so the index is as large as the logs and no larger.
 */

import {
  isWarning,
  type Mark,
  outlives,
  type StampClock,
  type StampedState,
  winner,
} from "./logical-timestamp.ts";
import { isSettled, type RecipientState } from "./spool.ts";

interface Entry {
  /** In the order they came; few, since folding keeps only what counts. */
  marks: Mark[];
  /** Mentions in sources that are still there. */
  mentions: number;
  /** The number of marks at which they are folded again. */
  foldAt: number;
}

const firstFold = 8;
const none: ReadonlyMap<number, RecipientState> = new Map();

export class SettleIndex {
  readonly #clock: StampClock;
  readonly #entries = new Map<string, Entry>();
  /** The ids that each source mentions, once for each mention. */
  readonly #sources = new Map<string, string[]>();

  constructor(clock: StampClock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** @param source  the log (or segment) that says so; see dropSource() */
  apply(id: string, mark: Mark, source: string): void {
    this.#clock.observe(mark.stamp);
    const mentioned = this.#sources.get(source);
    if (mentioned === undefined) this.#sources.set(source, [id]);
    else mentioned.push(id);
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      this.#entries.set(id, { marks: [mark], mentions: 1, foldAt: firstFold });
      return;
    }
    entry.mentions++;
    entry.marks.push(mark);
    if (entry.marks.length < entry.foldAt) return;
    entry.marks = foldMarks(entry.marks);
    entry.foldAt = Math.max(firstFold, entry.marks.length * 2);
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

  marksOf(id: string): readonly Mark[] {
    return foldMarks(this.#entries.get(id)?.marks ?? []);
  }

  /** By index; absent recipients are pending. */
  states(id: string): ReadonlyMap<number, RecipientState> {
    const entry = this.#entries.get(id);
    return entry === undefined ? none : mergedStates(entry.marks);
  }

  /** Whether nothing is owed to any of `recipients` recipients. */
  isSettled(id: string, recipients: number): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return recipients === 0;
    const only = entry.marks.length === 1 ? entry.marks[0] : undefined;
    if (only !== undefined && recipients === 1) return only.recipients.includes(0) && isSettled(only.state);
    let settled = 0;
    for (const [recipient, { state }] of resolve(entry.marks).states)
      if (recipient < recipients && isSettled(state)) settled++;
    return settled === recipients;
  }
}

export function mergedStates(marks: readonly Mark[]): ReadonlyMap<number, RecipientState> {
  const states = new Map<number, RecipientState>();
  const resolved = resolve(marks);
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

function resolve(marks: readonly Mark[]): Resolved {
  const states = new Map<number, StampedState>();
  let warnings: Map<number, StampedState> | undefined;
  for (const mark of marks) {
    let into = states;
    if (isWarning(mark.state)) {
      warnings ??= new Map();
      into = warnings;
    }
    for (const recipient of mark.recipients) into.set(recipient, winner(into.get(recipient), mark));
  }
  return { states, warnings: warnings ?? noWarnings };
}

/** The same knowledge in the fewest marks. */
export function foldMarks(marks: readonly Mark[]): Mark[] {
  if (marks.length < 2) return [...marks];
  const groups = new Map<StampedState, number[]>();
  const { states, warnings } = resolve(marks);
  for (const [recipient, mark] of [...states, ...warnings]) {
    const group = groups.get(mark);
    if (group === undefined) groups.set(mark, [recipient]);
    else group.push(recipient);
  }
  const folded: Mark[] = [];
  for (const [{ state, stamp }, recipients] of groups) folded.push({ recipients, state, stamp });
  return folded;
}
