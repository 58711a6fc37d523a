/**
 * Keys of everything that a spool has in a store, and how long they count (pure).
 *
 *     messages/   records of accepted messages, one object for each batch of a writer
 *     compacted/  records that were joined from objects of which most was settled
 *     states/     status entries, one object for each batch of a writer
 *     bodies/     bodies too large for a batch
 *     damaged/    objects with unreadable records
 *     probe/      small objects that tell how the store is
 *     handover/   why services may not use the spool, while mail is copied out of it or into it
 *
 * Each process writes under a name of its own, made at its start, and never writes a key twice.
 */
import { type NumberedName, numberedName, parseNumberedName, writerName } from "../../records/names.ts";

export const messagesPlace = "messages/";
export const compactedPlace = "compacted/";
export const statesPlace = "states/";
export const bodiesPlace = "bodies/";
export const damagedPlace = "damaged/";
export const probePlace = "probe/";
export const closedKey = "handover/closed";

export function messagesKey(name: NumberedName): string {
  return messagesPlace + numberedName(name);
}

export function statesKey(name: NumberedName): string {
  return statesPlace + numberedName(name);
}

export function bodyKey(name: string): string {
  return bodiesPlace + name;
}

export function damagedKey(segment: string): string {
  return damagedPlace + segment.replace("/", ".");
}

/** @param id  of the hand-over */
export function committedKey(id: string): string {
  return `handover/committed-${id}`;
}

/** The name in the key of a batch of messages or status entries; undefined for keys of another form. */
export function nameInKey(key: string): NumberedName | undefined {
  const [, place, name] = /^(messages\/|states\/)(.*)$/.exec(key) ?? [];
  return place === undefined || name === undefined ? undefined : parseNumberedName(name);
}

/**
 * Compaction copies a record, and its writer may be suspended before the copy arrives: by then the message may be
 * delivered and forgotten. Hence the key says when, by the store's clock, the compaction began, and the copy counts only if
 * the store got it soon afterwards. What is known of a message is kept for much longer than that.
 * @param begunMs  by the store's clock
 */
export function compactedKey(name: NumberedName, begunMs: number): string {
  return `${compactedPlace}${numberedName(name)}.${Math.floor(begunMs / 1000).toString(36)}`;
}

export interface CompactedName {
  name: NumberedName;
  begunMs: number;
}

export function parseCompactedKey(key: string): CompactedName | undefined {
  const [, text, begun] = /^compacted\/([^.]*)\.([0-9a-z]{1,9})$/.exec(key) ?? [];
  const name = text === undefined ? undefined : parseNumberedName(text);
  if (name === undefined || begun === undefined) return undefined;
  return { name, begunMs: Number.parseInt(begun, 36) * 1000 };
}

/** How long after its beginning a compaction must be in the store to count. */
export const compactionCountsMs = 60_000;

/** @param modifiedMs  when the store got the object, by its own clock */
export function compactionCounts(key: string, modifiedMs: number): boolean {
  const parsed = parseCompactedKey(key);
  return parsed !== undefined && modifiedMs - parsed.begunMs <= compactionCountsMs;
}

/** Whether a locator can name an object of this spool: a key that somebody else made up is never requested. */
export function isSegmentKey(segment: string): boolean {
  if (segment.startsWith(messagesPlace)) return nameInKey(segment) !== undefined;
  return parseCompactedKey(segment) !== undefined;
}

/** The name under which a process writes, with times that rise with every key. */
export class WriterName {
  readonly writer: string;
  readonly #nowMs: () => number;
  #lastMs = 0;

  /** @param random  at least 12 random octets */
  constructor(random: Uint8Array, nowMs: () => number) {
    this.writer = writerName(random);
    this.#nowMs = nowMs;
  }

  next(settling = false): NumberedName {
    this.#lastMs = Math.max(this.#lastMs + 1, this.#nowMs());
    return { openedMs: this.#lastMs, writer: this.writer, settling };
  }
}
