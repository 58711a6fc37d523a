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

/**
 * @param logs          finished, and in the index completely, before the messages were indexed
 * @param presentAmong  those of these ids whose messages exist, or existed a short time ago
 * @returns octets freed
 */
export async function compactLogs(
  { index, log, remove }: LogCompactionOptions,
  logs: readonly CompleteLog[],
  presentAmong: (ids: ReadonlySet<string>) => Promise<ReadonlySet<string>>,
): Promise<number> {
  const mentioned = new Set<string>();
  for (const { name } of logs) for (const id of index.idsOf(name)) mentioned.add(id);
  const present = await presentAmong(mentioned);
  const small = logs.filter(({ bytes }) => bytes < smallBytes);
  const joined = new Set(small.length >= manySmall ? small : []);
  const needed = new Set<string>();
  const obsolete: CompleteLog[] = [];
  for (const candidate of logs) {
    const ids = index.idsOf(candidate.name);
    const neededIds = ids.filter((id) => present.has(id));
    if (neededIds.length > ids.length * rewriteBelow && !joined.has(candidate)) continue;
    for (const id of neededIds) needed.add(id);
    obsolete.push(candidate);
    await new Promise(setImmediate);
  }
  if (needed.size > 0) {
    await writeAgain(needed, index, log);
    await log.sync();
  }
  return remove(obsolete);
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
  /** Ids of messages that went lately, and when that was noticed. */
  #gone: { ids: string[]; atMs: number }[] = [];
  /** When each log was first seen to be complete. */
  #completeSinceMs = new Map<string, number>();

  constructor(forgetAfterMs: number) {
    this.#forgetAfterMs = forgetAfterMs;
  }

  noteGone(ids: string[], nowMs: number): void {
    this.#gone.push({ ids, atMs: nowMs });
  }

  /** Logs that have been complete for long enough; to be called with all complete logs, in every run of the collector. */
  expired(logs: readonly CompleteLog[], nowMs: number): CompleteLog[] {
    this.#gone = this.#gone.filter(({ ids, atMs }) => ids.length > 0 && nowMs - atMs < this.#forgetAfterMs);
    // A message that a log mentions was indexed in the first run after it, and is noticed when it goes, or had gone
    // by then.
    this.#completeSinceMs = new Map(logs.map(({ name }) => [name, this.#completeSinceMs.get(name) ?? nowMs]));
    return logs.filter(
      ({ name }) => nowMs - (this.#completeSinceMs.get(name) ?? nowMs) >= this.#forgetAfterMs,
    );
  }

  /** Ids of messages that have not been gone for long enough. */
  *recentlyGone(): Iterable<string> {
    for (const { ids } of this.#gone) yield* ids;
  }
}
