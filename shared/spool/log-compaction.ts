/**
 * Frees status logs: a log is removed when none of the messages that it mentions exists any more; what is still needed
 * of a mostly obsolete log is written again first. What a log says must outlive its messages, or they would be
 * delivered again.
 */
import type { Settlement } from "./spool.ts";
import type { StateIndex } from "./state-index.ts";

/** A status log that never grows again, and is in the index completely. */
export interface CompleteLog {
  name: string;
  bytes: number;
}

export interface LogCompactionOptions {
  index: StateIndex;
  log: {
    appendRecorded(settlements: readonly Settlement[], timestamp: number): Promise<void>;
    /** Resolves when all that was appended is on stable storage. */
    sync(): Promise<void>;
  };
  /** Removes logs of which nothing is needed any more. @returns octets freed */
  remove(logs: readonly CompleteLog[]): Promise<number>;
}

/** A log of which more than this is still needed stays. */
const rewriteBelow = 1 / 4;
/** So many small logs are joined even when all of their content is needed. */
const manySmall = 16;
const smallBytes = 64 * 1024;
/** Messages whose entries are written again at a time: what is left is done in the next run. */
const mostRewritten = 100_000;

/**
 * @param logs      finished, and in the index completely, before the messages were indexed
 * @param isNeeded  whether a message exists, or existed a short time ago; it may say so of a few others as well
 * @returns octets freed
 */
export async function compactLogs(
  { index, log, remove }: LogCompactionOptions,
  logs: readonly CompleteLog[],
  isNeeded: (id: string) => boolean,
): Promise<number> {
  const small = logs.filter(({ bytes }) => bytes < smallBytes);
  const joined = new Set(small.length >= manySmall ? small : []);
  const needed = new Set<string>();
  const obsolete: CompleteLog[] = [];
  for (const candidate of logs) {
    if (needed.size >= mostRewritten) break;
    await new Promise(setImmediate);
    const mentions = index.mentionsIn(candidate.name);
    const most = joined.has(candidate) ? mentions : mentions * rewriteBelow;
    const neededIds = neededAmong(index.idsOf(candidate.name), isNeeded, most);
    if (neededIds === undefined) continue;
    for (const id of neededIds) needed.add(id);
    obsolete.push(candidate);
  }
  if (needed.size > 0) {
    await writeAgain(needed, index, log);
    await log.sync();
  }
  return remove(obsolete);
}

/** @returns undefined when more than `most` of them are needed */
function neededAmong(
  ids: Iterable<string>,
  isNeeded: (id: string) => boolean,
  most: number,
): string[] | undefined {
  const needed: string[] = [];
  for (const id of ids) {
    if (!isNeeded(id)) continue;
    needed.push(id);
    if (needed.length > most) return undefined;
  }
  return needed;
}

/** With their own timestamps: an old state that is written again does not become a new one. */
async function writeAgain(
  ids: ReadonlySet<string>,
  index: StateIndex,
  log: LogCompactionOptions["log"],
): Promise<void> {
  const byTimestamp = new Map<number, Settlement[]>();
  for (const id of ids) {
    for (const { recipients, state, timestamp } of index.entriesOf(id)) {
      const settlement = { id, recipients: [...recipients], state };
      const group = byTimestamp.get(timestamp);
      if (group === undefined) byTimestamp.set(timestamp, [settlement]);
      else group.push(settlement);
    }
  }
  await Promise.all(
    [...byTimestamp].map(([timestamp, settlements]) => log.appendRecorded(settlements, timestamp)),
  );
}

/**
 * When the content of a log may be forgotten: all its messages must have been gone for a while, since a reader may
 * have read one of them and not yet asked for its states. Times are of `performance.now()`.
 */
export class LogRetention {
  readonly #forgetAfterMs: number;
  /** Messages that went lately, and when that was noticed. */
  #gone: { had: (id: string) => boolean; atMs: number }[] = [];
  /** When each log was first seen to be complete. */
  #completeSinceMs = new Map<string, number>();

  constructor(forgetAfterMs: number) {
    this.#forgetAfterMs = forgetAfterMs;
  }

  /** @param had  whether a message is one of those that went */
  noteGone(had: (id: string) => boolean, nowMs: number): void {
    this.#forgetGone(nowMs);
    this.#gone.push({ had, atMs: nowMs });
  }

  /** Logs that have been complete for long enough; to be called with all complete logs, in every run of the collector. */
  expired(logs: readonly CompleteLog[], nowMs: number): CompleteLog[] {
    this.#forgetGone(nowMs);
    // A message that a log mentions was indexed in the first run after it, and is noticed when it goes, or had gone
    // by then.
    this.#completeSinceMs = new Map(logs.map(({ name }) => [name, this.#completeSinceMs.get(name) ?? nowMs]));
    return logs.filter(
      ({ name }) => nowMs - (this.#completeSinceMs.get(name) ?? nowMs) >= this.#forgetAfterMs,
    );
  }

  /** Whether the message has not been gone for long enough. */
  wentLately(id: string): boolean {
    return this.#gone.some(({ had }) => had(id));
  }

  #forgetGone(nowMs: number): void {
    this.#gone = this.#gone.filter(({ atMs }) => nowMs - atMs < this.#forgetAfterMs);
  }
}
