/**
 * Frees the space of settled messages, in an order that is safe to interrupt after any step: records are removed before
 * what is known of them is forgotten, and are complete in their new place before they leave the old one.
 */
import { join } from "node:path";
import type { CollectReport } from "../../spool.ts";
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
import { largeNames, largePath, movedPath, type Places, segmentPath, writerOfLarge } from "../disk/names.ts";
import type { StoredRecords } from "../segments/stored-records.ts";
import type { StatusLog } from "../states/status-log.ts";
import type { CompleteLog, StatusTail } from "../states/status-tail.ts";
import { CollectorLock, type CollectorLockOptions } from "./collector-lock.ts";
import { compactLogs, LogRetention } from "./log-compaction.ts";
import { type MoveOptions, moveMessages } from "./move.ts";
import { type SegmentContents, SegmentIndex } from "./segment-index.ts";

export interface CollectorOptions extends CollectorLockOptions, Omit<MoveOptions, "directory"> {
  files: SpoolFiles;
  places: Places;
  records: StoredRecords;
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
}

export class Collector {
  readonly #options: CollectorOptions;
  readonly #segmentIndex: SegmentIndex;
  readonly #retention: LogRetention;
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
    this.#retention.noteGone(await this.#segmentIndex.refresh(this.#throwIfClosing), nowMs);
    for (const segment of this.#segmentIndex.segments.values()) {
      this.#throwIfClosing();
      if (segment.complete) await this.#collectSegment(segment, lock, report);
    }
    await this.#collectMoved(report);
    // Records are gone for good before what is known of them is forgotten.
    await syncDirectory(files, places.segments);
    await syncDirectory(files, places.moved);
    await this.#collectLogs(logs, nowMs, report);
    await this.#collectOrphans(report);
  }

  readonly #throwIfClosing = (): void => {
    if (this.#closing) throw new Interrupted("the spool is closing");
  };

  async #collectSegment(segment: SegmentContents, lock: CollectorLock, report: CollectReport): Promise<void> {
    const { files, places, index } = this.#options;
    const movable = this.#movable(segment);
    // Asked before messages move: these keep their large bodies.
    const settledLarge = segment.settledLargeBodies(index);
    const unsettled = segment.countUnsettled(index, movable);
    await new Promise(setImmediate);
    if (unsettled > movable) return;
    if (unsettled > 0) {
      const isUnsettled = (id: string, recipients: number): boolean => !index.isSettled(id, recipients);
      const options = { ...this.#options, directory: lock.directory };
      const { moved, all } = await moveMessages(options, segment.name, isUnsettled);
      await syncDirectory(files, places.moved);
      report.messagesMoved += moved;
      if (!all) return;
    }
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

  /** How many messages may be moved out of the segment. */
  #movable({ openedMs, ids }: SegmentContents): number {
    const { moveAfterMs, moveShare, nowMs } = this.#options;
    return nowMs() - openedMs >= moveAfterMs ? Math.floor(ids.length * moveShare) : 0;
  }

  /** What records imply has to be in a log before the records are removed. */
  async #recordImpliedSettlements({ settlements }: SegmentContents): Promise<void> {
    if (settlements.length === 0) return;
    const { log } = this.#options;
    await Promise.all(settlements.map((one) => log.appendRecorded([one], one.timestamp)));
    await log.sync();
  }

  async #collectMoved(report: CollectReport): Promise<void> {
    const { files, places, index } = this.#options;
    for (const { id, recipients, bytes, large } of this.#segmentIndex.moved.values()) {
      if (!index.isSettled(id, recipients)) continue;
      if (await removeFile(files, movedPath(places, id))) report.bytesFreed += bytes;
      if (large !== undefined) await this.#removeLarge(large, report);
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
    const present = await this.#segmentIndex.ids();
    for (const id of this.#retention.recentlyGone()) present.add(id);
    report.bytesFreed += await compactLogs(this.#options, expired, present);
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
