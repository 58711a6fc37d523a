/**
 * Frees the space of settled messages, in an order that is safe to interrupt after any step, and that several processes may
 * do at the same time: records are removed before what is known of them is forgotten, and copies are in the store before
 * what they were made of is removed. What is settled stays settled, so that a removal that comes late removes nothing else.
 */
import type { OnFault } from "../../fault.ts";
import { type CompleteLog, compactLogs, LogRetention } from "../../log-compaction.ts";
import type { CollectReport } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import type { IndexedSegment, MessageIndex } from "../messages/message-index.ts";
import type { StatusFollower } from "../states/status-follower.ts";
import type { StatusWriter } from "../states/status-writer.ts";
import { storeError } from "../store/failures.ts";
import { bodyKey, damagedKey, statesPlace, type WriterName } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { compact } from "./compaction.ts";
import { Orphans } from "./orphans.ts";
import { planCompaction } from "./plan-compaction.ts";

export interface CollectorOptions {
  store: ObjectStore;
  writer: WriterName;
  index: StateIndex;
  messages: MessageIndex;
  statuses: StatusWriter;
  follower: StatusFollower;
  moveAfterMs: number;
  batchBytes: number;
  lingerMs: number;
  forgetAfterMs: number;
  orphanAfterMs: number;
  onFault: OnFault;
  monotonicMs: () => number;
}

/** So many small status objects of some age are joined. */
const smallBytes = 64 * 1024;
const joinAfterMs = 5000;

export class Collector {
  readonly #options: CollectorOptions;
  readonly #retention: LogRetention;
  readonly #orphans: Orphans;
  /** Objects whose content is elsewhere, and when they are removed. */
  #leaving = new Map<string, number>();
  /** When each status object was first seen. */
  #logsSinceMs = new Map<string, number>();
  /** Status objects that were complete before the messages were indexed. */
  #logs: CompleteLog[] = [];
  #running: Promise<CollectReport> | undefined;
  #closing = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#retention = new LogRetention(options.forgetAfterMs);
    this.#orphans = new Orphans(options);
  }

  /** @throws SpoolFull, SpoolUnavailable; every step until then is complete */
  collect(): Promise<CollectReport> {
    this.#running ??= this.#collect().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Ends the work after its present step. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#running?.catch(() => {});
  }

  async #collect(): Promise<CollectReport> {
    const report: CollectReport = { segmentsRemoved: 0, messagesMoved: 0, bytesFreed: 0 };
    try {
      const { follower } = this.#options;
      await follower.load();
      await follower.refreshAll();
      for (const step of [
        this.#freeSegments,
        this.#compactSegments,
        this.#compactStates,
        this.#collectOrphans,
      ]) {
        if (this.#closing) break;
        await step.call(this, report);
      }
    } catch (error) {
      throw storeError(error, "the spool could not be collected");
    }
    return report;
  }

  async #freeSegments(report: CollectReport): Promise<void> {
    const { store, messages, index, monotonicMs } = this.#options;
    // Before the messages are indexed: whatever these mention is indexed, or gone.
    const logs = this.#options.follower.completeLogs();
    await messages.refresh();
    this.#logs = logs;
    const nowMs = monotonicMs();
    const segments = messages.segments();
    const present = new Set(segments.map(({ key }) => key));
    for (const key of this.#leaving.keys())
      if (!isStates(key) && !present.has(key)) this.#leaving.delete(key);
    const removable: IndexedSegment[] = [];
    for (const segment of segments) {
      const isLeft = (this.#leaving.get(segment.key) ?? Number.POSITIVE_INFINITY) <= nowMs;
      if (isLeft || (segment.contents.countUnsettled(index, 0) === 0 && this.#mayGo(segment)))
        removable.push(segment);
    }
    await store.remove(messages.voided);
    await this.#removeSegments(removable, report);
    const gone = new Set(messages.takeGone());
    if (gone.size > 0) this.#retention.noteGone((id) => gone.has(id), performance.now());
  }

  /** An object without messages keeps a late write of its writer out: it stays until no such write can come. */
  #mayGo({ contents, modifiedMs }: IndexedSegment): boolean {
    if (contents.messages.length > 0 || contents.cursor.damaged) return true;
    return (this.#options.store.clockMs() ?? 0) - modifiedMs > this.#options.forgetAfterMs;
  }

  async #removeSegments(segments: readonly IndexedSegment[], report: CollectReport): Promise<void> {
    const { store, index, statuses, messages } = this.#options;
    if (segments.length === 0) return;
    // What records imply has to be recorded before the records are removed.
    const implied = segments.flatMap(({ contents }) => contents.settlements);
    await Promise.all(implied.map((one) => statuses.appendRecorded([one], one.timestamp)));
    // Messages that were compacted keep their large bodies: they are not settled.
    const bodies = segments.flatMap(({ contents }) => contents.large.settled(index));
    for (const { key, contents } of segments) {
      if (!contents.cursor.damaged) continue;
      // It contains somebody's mail that cannot be read: kept for the operator.
      const octets = await store.get(key);
      if (octets !== undefined) await store.put(damagedKey(key), octets);
    }
    await store.remove(segments.map(({ key }) => key));
    await store.remove(bodies.map(bodyKey));
    for (const { key, size } of segments) {
      this.#leaving.delete(key);
      messages.noteRemoved(key);
      report.segmentsRemoved++;
      report.bytesFreed += size;
    }
  }

  async #compactSegments(report: CollectReport): Promise<void> {
    const { store, messages, index, moveAfterMs, batchBytes, lingerMs, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    const storeMs = store.clockMs() ?? 0;
    const candidates = messages
      .segments()
      .filter(({ key, contents }) => !this.#leaving.has(key) && !contents.cursor.damaged)
      .map(({ key, size, modifiedMs, contents }) => ({
        key,
        size,
        ageMs: storeMs - modifiedMs,
        messages: contents.messages.length,
        unsettled: contents.countUnsettled(index, Number.POSITIVE_INFINITY),
      }));
    for (const keys of planCompaction(candidates, { moveAfterMs, targetBytes: batchBytes })) {
      if (this.#closing) return;
      const { moved, emptied } = await compact(this.#options, keys);
      report.messagesMoved += moved;
      for (const key of emptied) this.#leaving.set(key, nowMs + lingerMs);
    }
  }

  async #compactStates(report: CollectReport): Promise<void> {
    const { messages, index, statuses, monotonicMs, lingerMs, store } = this.#options;
    const nowMs = monotonicMs();
    const due = [...this.#leaving].filter(([key, atMs]) => isStates(key) && atMs <= nowMs);
    await store.remove(due.map(([key]) => key));
    const present = new Set(this.#logs.map(({ name }) => name));
    for (const key of this.#leaving.keys()) if (isStates(key) && !present.has(key)) this.#leaving.delete(key);
    const logs = this.#logs.filter(({ name }) => !this.#leaving.has(name));
    this.#logsSinceMs = new Map(logs.map(({ name }) => [name, this.#logsSinceMs.get(name) ?? nowMs]));
    // What could not be read may be messages that these objects mention.
    const expired = new Set(messages.incomplete ? [] : this.#retention.expired(logs, performance.now()));
    const young = logs.filter(
      (log) =>
        !expired.has(log) &&
        log.bytes < smallBytes &&
        nowMs - (this.#logsSinceMs.get(log.name) ?? nowMs) >= joinAfterMs,
    );
    const remembered = new Set<string>();
    for (const { name } of young) for (const id of index.idsOf(name)) remembered.add(id);
    const mentioned = new Set<string>();
    for (const { name } of [...expired, ...young]) for (const id of index.idsOf(name)) mentioned.add(id);
    const existing = await messages.presentAmong(mentioned);
    const isNeeded = (id: string): boolean =>
      existing.has(id) || remembered.has(id) || this.#retention.wentLately(id);
    const remove = async (obsolete: readonly CompleteLog[]): Promise<number> => {
      for (const { name } of obsolete) this.#leaving.set(name, nowMs + lingerMs);
      return obsolete.reduce((bytes, log) => bytes + log.bytes, 0);
    };
    report.bytesFreed += await compactLogs(
      { index, log: statuses, remove },
      [...expired, ...young],
      isNeeded,
    );
  }

  async #collectOrphans(report: CollectReport): Promise<void> {
    // A record that cannot be read may refer to any of them.
    const { messages } = this.#options;
    if (messages.incomplete || messages.segments().some(({ contents }) => contents.cursor.damaged)) return;
    report.bytesFreed += await this.#orphans.collect();
  }
}

function isStates(key: string): boolean {
  return key.startsWith(statesPlace);
}
