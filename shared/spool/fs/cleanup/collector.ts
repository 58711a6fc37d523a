/**
 * Frees the space of settled messages, in an order that is safe to interrupt after any step: records are removed before
 * what is known of them is forgotten, and are complete in their new place before they leave the old one.
 */
import { join } from "node:path";
import type { FileFaults } from "../../file-faults.ts";
import { type CompleteLog, compactLogs, LogRetention } from "../../log-compaction.ts";
import { writerOfLarge } from "../../records/names.ts";
import { type CollectReport, SpoolFull } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import {
  done,
  isMissing,
  listDirectory,
  removeFile,
  type SpoolFiles,
  spoolError,
  statFile,
  syncDirectory,
} from "../disk/files.ts";
import { largeNames, largePath, logPath, movedPath, type Places, segmentPath } from "../disk/names.ts";
import type { StoredRecords } from "../segments/stored-records.ts";
import type { StatusLog } from "../states/status-log.ts";
import type { StatusTail } from "../states/status-tail.ts";
import { CollectorLock, type CollectorLockOptions } from "./collector-lock.ts";
import type { KnownSegment } from "./known-segment.ts";
import { type MoveOptions, moveMessages } from "./move.ts";
import { SegmentIndex } from "./segment-index.ts";

export interface CollectorOptions extends CollectorLockOptions, Omit<MoveOptions, "directory"> {
  files: SpoolFiles;
  places: Places;
  records: StoredRecords;
  fileFaults: FileFaults;
  index: StateIndex;
  log: StatusLog;
  tail: StatusTail;
  /** A segment of this age whose messages are nearly all settled is emptied by moving the others. */
  moveAfterMs: number;
  /** "Nearly all": at most this share of them is not settled, 0..1. */
  moveShare: number;
  /** How long settlements outlive their messages, for readers that have just read one and not asked for its states. */
  forgetAfterMs: number;
  /** A body that no record refers to, of a writer that is gone, is removed at this age. */
  orphanAfterMs: number;
  nowMs: () => number;
  monotonicMs: () => number;
}

export class Collector {
  readonly #options: CollectorOptions;
  readonly #segmentIndex: SegmentIndex;
  readonly #retention: LogRetention;
  /** Large bodies of settled messages in segments that stay, and since when they are known to be settled. */
  #settledLarge: ReadonlyMap<string, number> = new Map();
  #running: Promise<CollectReport> | undefined;
  #closing = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#segmentIndex = new SegmentIndex(options);
    this.#retention = new LogRetention(options.forgetAfterMs);
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
      await this.#options.tail.load();
      const lock = await CollectorLock.acquire(this.#options);
      if (lock === undefined) return report;
      try {
        await this.#collectLocked(lock, report);
      } finally {
        await lock.release();
      }
    } catch (error) {
      // A missing directory: taken for dead, and another collector does the rest. After close(), the next one does.
      if (!isMissing(error) && !(error instanceof Interrupted))
        throw spoolError(error, "the spool could not be collected");
    }
    return report;
  }

  async #collectLocked(lock: CollectorLock, report: CollectReport): Promise<void> {
    const { files, places, tail } = this.#options;
    await tail.refreshAll();
    // Listed before the messages are indexed: whatever these logs mention is indexed, or gone.
    const logs = tail.completeLogs();
    const nowMs = performance.now();
    const gone = await this.#segmentIndex.refresh(this.#throwIfClosing);
    if (gone !== undefined) this.#retention.noteGone(gone, nowMs);
    // Wholly settled segments need no space to go, and give the space that moving needs.
    const left = await this.#freeSegments(report);
    await this.#emptySegments(left, lock, report);
    await this.#collectMoved(report);
    // Records are gone for good before what is known of them is forgotten.
    await syncDirectory(files, places.segments);
    await syncDirectory(files, places.moved);
    // What could not be read may be messages that these logs mention, or that refer to a body.
    if (this.#segmentIndex.incomplete) return;
    await this.#collectLogs(logs, nowMs, report);
    await this.#collectOrphans(report);
  }

  readonly #throwIfClosing = (): void => {
    if (this.#closing) throw new Interrupted("the spool is closing");
  };

  /** @returns the finished segments that still have unsettled messages */
  async #freeSegments(report: CollectReport): Promise<KnownSegment[]> {
    const left: KnownSegment[] = [];
    const settledLarge = new Map<string, number>();
    for (const segment of this.#segmentIndex.segments.values()) {
      this.#throwIfClosing();
      if (!segment.isComplete) continue;
      await new Promise(setImmediate);
      await this.#passFaultsBy(`removing segment ${segment.name}`, async () => {
        if (!(await this.#segmentIndex.hasMoreUnsettled(segment, 0)))
          await this.#removeSegment(segment, report);
        else {
          left.push(segment);
          await this.#removeSettledBodies(segment, settledLarge, report);
        }
      });
    }
    this.#settledLarge = settledLarge;
    return left;
  }

  /** Moves the last unsettled messages out of old segments, as long as there is space for them. */
  async #emptySegments(
    segments: readonly KnownSegment[],
    lock: CollectorLock,
    report: CollectReport,
  ): Promise<void> {
    const { places, files, index } = this.#options;
    const isUnsettled = (id: string, recipients: number): boolean => !index.isSettled(id, recipients);
    const options = { ...this.#options, directory: lock.directory };
    for (const segment of segments) {
      this.#throwIfClosing();
      const movable = this.#movable(segment);
      if (movable === 0) continue;
      await new Promise(setImmediate);
      const failure = await this.#passFaultsBy(`moving mail out of segment ${segment.name}`, async () => {
        if (await this.#segmentIndex.hasMoreUnsettled(segment, movable)) return;
        const isReported = this.#segmentIndex.isSecondLook(segment);
        const result = await moveMessages(options, segment.name, isUnsettled, isReported);
        await syncDirectory(files, places.moved);
        report.messagesMoved += result.moved;
        if (result.all && this.#segmentIndex.isWhole(segment, result))
          await this.#removeSegment(segment, report);
      });
      if (failure instanceof SpoolFull) return;
    }
  }

  /**
   * A fault at one file does not keep the others from being freed.
   * @returns the error, which was reported
   */
  async #passFaultsBy(doing: string, work: () => Promise<void>): Promise<Error | undefined> {
    try {
      await work();
      return undefined;
    } catch (error) {
      // The lock is lost, or the spool is closing.
      if (isMissing(error) || error instanceof Interrupted) throw error;
      const failure = spoolError(error, doing);
      this.#options.onFault({ kind: "background", doing, error: failure });
      return failure;
    }
  }

  /** Removes a segment in which everything is settled, or was moved. */
  async #removeSegment(segment: KnownSegment, report: CollectReport): Promise<void> {
    const { files, places, index } = this.#options;
    // Messages that were moved keep their large bodies: they are not settled.
    const settledLarge = segment.large.settled(index);
    await this.#recordImpliedSettlements(segment);
    const path = segmentPath(places, segment.name);
    if (segment.cursor.damaged) {
      // It contains somebody's mail that cannot be read: kept for the operator.
      await done((end) => files.rename(path, join(places.damaged, `${segment.name}.seg`), end));
    } else if (await removeFile(files, path)) {
      report.bytesFreed += segment.cursor.position;
    }
    report.segmentsRemoved++;
    for (const name of settledLarge) await this.#removeLarge(name, report);
  }

  /**
   * Removes the large bodies of settled messages although other messages keep the segment. That they are settled must be
   * on stable storage by then, in the log of whichever process settled them: hence a while after it was first seen.
   * @param seen  takes the bodies that go later, and since when they are known to be settled
   */
  async #removeSettledBodies(
    segment: KnownSegment,
    seen: Map<string, number>,
    report: CollectReport,
  ): Promise<void> {
    const { index, forgetAfterMs } = this.#options;
    const nowMs = performance.now();
    for (const name of segment.large.settled(index)) {
      const sinceMs = this.#settledLarge.get(name) ?? nowMs;
      if (nowMs - sinceMs < forgetAfterMs) seen.set(name, sinceMs);
      else {
        await this.#removeLarge(name, report);
        segment.large.drop(name);
      }
    }
  }

  /** How many messages may be moved out of the segment. */
  #movable({ openedMs, foundAtMs, messages }: KnownSegment): number {
    const { moveAfterMs, moveShare, nowMs, monotonicMs } = this.#options;
    // By its name, or as long as this process has known it: a clock that is set back must not keep it for ever.
    const ageMs = Math.max(nowMs() - openedMs, monotonicMs() - foundAtMs);
    return ageMs >= moveAfterMs ? Math.floor(messages * moveShare) : 0;
  }

  /** What records imply has to be in a log before the records are removed. */
  async #recordImpliedSettlements(segment: KnownSegment): Promise<void> {
    const settlements = await this.#segmentIndex.settlementsIn(segment);
    if (settlements.length === 0) return;
    const { log } = this.#options;
    await Promise.all(settlements.map((one) => log.appendRecorded([one], one.timestamp)));
    await log.sync();
  }

  async #collectMoved(report: CollectReport): Promise<void> {
    const { files, places, index } = this.#options;
    for (const { id, recipients, bytes, large } of this.#segmentIndex.moved.values()) {
      if (!index.isSettled(id, recipients)) continue;
      await this.#passFaultsBy(`removing message ${id}`, async () => {
        if (await removeFile(files, movedPath(places, id))) report.bytesFreed += bytes;
        if (large !== undefined) await this.#removeLarge(large, report);
      });
    }
  }

  async #removeLarge(name: string, report: CollectReport): Promise<void> {
    const { files, places } = this.#options;
    const path = largePath(places, name);
    const size = (await statFile(files, path))?.size ?? 0;
    if (await removeFile(files, path)) report.bytesFreed += size;
  }

  async #collectLogs(logs: readonly CompleteLog[], nowMs: number, report: CollectReport): Promise<void> {
    const expired = this.#retention.expired(logs, nowMs);
    if (expired.length === 0) return;
    const exists = this.#segmentIndex.mayHave();
    const isNeeded = (id: string): boolean => exists(id) || this.#retention.wentLately(id);
    const remove = (obsolete: readonly CompleteLog[]): Promise<number> => this.#removeLogs(obsolete);
    report.bytesFreed += await compactLogs({ ...this.#options, remove }, expired, isNeeded);
  }

  async #removeLogs(logs: readonly CompleteLog[]): Promise<number> {
    const { files, places } = this.#options;
    let freed = 0;
    for (const { name, bytes } of logs) {
      await removeFile(files, logPath(places, name));
      freed += bytes;
    }
    return freed;
  }

  /** Bodies whose record was never written: their writer died, or was refused and could not remove them. */
  async #collectOrphans(report: CollectReport): Promise<void> {
    const { files, places, registry, orphanAfterMs, nowMs } = this.#options;
    const names = largeNames(await listDirectory(files, places.large));
    // A record that cannot be read may refer to any of them.
    if (names.length === 0 || this.#segmentIndex.damaged) return;
    const referred = this.#segmentIndex.largeBodies();
    for (const name of names) {
      if (referred.has(name) || registry.isAlive(writerOfLarge(name))) continue;
      const stats = await statFile(files, largePath(places, name));
      if (stats !== undefined && nowMs() - stats.mtimeMs >= orphanAfterMs)
        await this.#removeLarge(name, report);
    }
  }
}

/** Thrown between two steps. */
class Interrupted extends Error {
  override name = "Interrupted";
}
