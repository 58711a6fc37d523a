/**
 * Frees the space of what is settled, in an order that is safe to stop after any step:
 * records go before what is known of them is forgotten, and stand in their new place before they leave the old one.
 */
import { join } from "node:path";
import type { CollectReport } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import {
  done,
  isMissing,
  listDirectory,
  removeFile,
  spoolError,
  statFile,
  syncDirectory,
} from "../disk/files.ts";
import { writerOfLarge } from "../disk/names.ts";
import type { SettleLog } from "../states/status-log.ts";
import type { SettleTail } from "../states/status-tail.ts";
import type { WalkOptions } from "../states/unsettled.ts";
import type { OwnWriter } from "../writers/own-writer.ts";
import { acquireCollectorLock } from "./collector-lock.ts";
import { compactLogs } from "./log-compaction.ts";
import { moveMessages } from "./move.ts";
import { type SegmentContents, SegmentIndex } from "./segment-index.ts";

export interface CollectorOptions extends WalkOptions {
  own: OwnWriter;
  index: StateIndex;
  log: SettleLog;
  tail: SettleTail;
  /** A segment of this age whose messages are nearly all settled is emptied by moving the others. */
  moveAfterMs: number;
  /** "Nearly all": at most this part of them is not settled, 0..1. */
  moveShare: number;
  /** How long settlements outlive their messages, for those who have just read one and not looked yet. */
  forgetAfterMs: number;
  /** A body that no record refers to, of a writer that is gone, is removed at this age. */
  orphanAfterMs: number;
  nowMs: () => number;
}

export class Collector {
  readonly #options: CollectorOptions;
  readonly #segmentIndex: SegmentIndex;
  #running: Promise<CollectReport> | undefined;
  #closing = false;
  /** Ids of messages that went lately, with the time (of `performance.now()`) when we noticed. */
  #gone: { ids: string[]; atMs: number }[] = [];
  /** When each finished log was first there at a census. */
  #logSince = new Map<string, number>();

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#segmentIndex = new SegmentIndex(options);
  }

  /** @throws SpoolFull, SpoolUnavailable; what was done until then is whole */
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
    const { files, places, own, registry, tail } = this.#options;
    const report: CollectReport = { segmentsRemoved: 0, messagesMoved: 0, bytesFreed: 0 };
    try {
      await tail.load();
      const lock = await acquireCollectorLock(files, places.moving, own, registry);
      if (lock === undefined) return report;
      try {
        await this.#work(lock.directory, report);
      } finally {
        await lock.release();
      }
    } catch (error) {
      // Taken for dead, and another collector has begun: it does the rest. So does the next one after us.
      if (!isMissing(error) && !(error instanceof Interrupted))
        throw spoolError(error, "the spool could not be collected");
    }
    return report;
  }

  async #work(directory: string, report: CollectReport): Promise<void> {
    const { files, places, tail } = this.#options;
    await tail.refreshAll();
    const logs = tail.completeLogs();
    const nowMs = performance.now();
    this.#gone.push({ ids: await this.#segmentIndex.take(this.#goOn), atMs: nowMs });
    for (const segment of this.#segmentIndex.segments.values()) {
      this.#goOn();
      if (segment.complete) await this.#collectSegment(segment, directory, report);
    }
    await this.#collectMoved(report);
    // The records are gone for good before what is known of them goes.
    await syncDirectory(files, places.segments);
    await syncDirectory(files, places.own);
    await this.#collectLogs(logs, nowMs, report);
    await this.#collectOrphans(report);
  }

  readonly #goOn = (): void => {
    if (this.#closing) throw new Interrupted("the spool is closing");
  };

  async #collectSegment(segment: SegmentContents, directory: string, report: CollectReport): Promise<void> {
    const { files, places, index, moveAfterMs, moveShare, nowMs } = this.#options;
    const movable =
      nowMs() - segment.openedMs >= moveAfterMs ? Math.floor(segment.ids.length * moveShare) : 0;
    // Before anything moves: bodies of what moves stay.
    const settledLarge = this.#settledLarge(segment);
    const unsettled = this.#segmentIndex.unsettledIn(segment, index, movable);
    await new Promise(setImmediate);
    if (unsettled > movable) return;
    if (unsettled > 0) {
      const wanted = (id: string, recipients: number): boolean => !index.isSettled(id, recipients);
      const { moved, all } = await moveMessages({ ...this.#options, directory }, segment, wanted);
      await syncDirectory(files, places.own);
      report.messagesMoved += moved;
      if (!all) return;
    }
    await this.#keepSettlements(segment);
    const file = `${segment.name}.seg`;
    if (segment.cursor.damaged) {
      // Somebody's mail stands in it and cannot be read: that is for people to look at.
      await done((end) => files.rename(join(places.segments, file), join(places.damaged, file), end));
    } else if (await removeFile(files, join(places.segments, file))) {
      report.bytesFreed += segment.cursor.position;
    }
    report.segmentsRemoved++;
    for (const name of settledLarge) await this.#removeLarge(name, report);
  }

  #settledLarge({ ids, recipients, large }: SegmentContents): string[] {
    if (large.size === 0) return [];
    const names: string[] = [];
    ids.forEach((id, position) => {
      const name = large.get(id);
      if (name !== undefined && this.#options.index.isSettled(id, recipients[position] ?? 0))
        names.push(name);
    });
    return names;
  }

  /** What the records settled by being there has to stand in a log before they go. */
  async #keepSettlements({ settles }: SegmentContents): Promise<void> {
    if (settles.length === 0) return;
    const { log } = this.#options;
    await Promise.all(settles.map((settlement) => log.append([settlement], settlement.timestamp)));
    await log.sync();
  }

  async #collectMoved(report: CollectReport): Promise<void> {
    const { files, places, index } = this.#options;
    for (const [id, { recipients, length, large }] of this.#segmentIndex.own) {
      if (!index.isSettled(id, recipients)) continue;
      if (await removeFile(files, join(places.own, `${id}.msg`))) report.bytesFreed += length;
      if (large !== undefined) await this.#removeLarge(large, report);
    }
  }

  async #removeLarge(name: string, report: CollectReport): Promise<void> {
    const { files, places } = this.#options;
    const path = join(places.large, `${name}.body`);
    const size = (await statFile(files, path))?.size ?? 0;
    if (await removeFile(files, path)) report.bytesFreed += size;
  }

  async #collectLogs(
    logs: readonly { name: string; bytes: number }[],
    nowMs: number,
    report: CollectReport,
  ): Promise<void> {
    const { files, places, index, log, forgetAfterMs } = this.#options;
    this.#gone = this.#gone.filter(({ ids, atMs }) => ids.length > 0 && nowMs - atMs < forgetAfterMs);
    // What a log names was there at the first census after it, and is seen to go, or had gone by then.
    this.#logSince = new Map(logs.map(({ name }) => [name, this.#logSince.get(name) ?? nowMs]));
    const old = logs.filter(({ name }) => nowMs - (this.#logSince.get(name) ?? nowMs) >= forgetAfterMs);
    if (old.length === 0) return;
    const present = await this.#segmentIndex.ids();
    for (const { ids } of this.#gone) for (const id of ids) present.add(id);
    report.bytesFreed += await compactLogs({ files, directory: places.settled, index, log }, old, present);
  }

  /** Bodies whose record was never written: their writer died, or was refused and could not remove them. */
  async #collectOrphans(report: CollectReport): Promise<void> {
    const { files, places, registry, orphanAfterMs, nowMs } = this.#options;
    const bodies = (await listDirectory(files, places.large)).filter((file) => file.endsWith(".body"));
    // A record that cannot be read may refer to any of them.
    if (bodies.length === 0 || this.#segmentIndex.damaged) return;
    const referred = this.#segmentIndex.largeBodies();
    for (const file of bodies) {
      const name = file.slice(0, -".body".length);
      if (referred.has(name) || registry.isAlive(writerOfLarge(name))) continue;
      const stats = await statFile(files, join(places.large, file));
      if (stats !== undefined && nowMs() - stats.mtimeMs >= orphanAfterMs)
        await this.#removeLarge(name, report);
    }
  }
}

/** Between two steps; what was done is whole. */
class Interrupted extends Error {
  override name = "Interrupted";
}
