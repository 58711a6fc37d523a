/**
 * Accepts messages: holds the open drafts, and commits each to its large body, its record and, when it settles another
 * message, the status log. Owns the drafts, until close().
 */
import type { MessageMeta } from "../../mail/message.ts";
import type { SpoolCounters } from "../counters.ts";
import type { OnFault } from "../fault.ts";
import type { LogicalClock } from "../recipient-state.ts";
import type { DraftBody, LargeBody } from "../records/draft.ts";
import { largeName } from "../records/names.ts";
import { OpenDrafts } from "../records/open-drafts.ts";
import { headLength, makeHead, type RecordExtra, type TimedSettlement } from "../records/record.ts";
import { coalesced } from "../sequence.ts";
import type { Settlement, StoredMessage } from "../spool.ts";
import type { StorageWatch } from "../storage-watch.ts";
import { orSpoolError, type SpoolFiles, syncDirectory } from "./disk/files.ts";
import type { Places } from "./disk/names.ts";
import type { DiskSpace } from "./disk/space.ts";
import { LargeBodyWriter } from "./segments/large-body.ts";
import type { SegmentWriter } from "./segments/segment-writer.ts";
import type { StatusLog } from "./states/status-log.ts";
import type { StatusTail } from "./states/status-tail.ts";
import type { WriterHeartbeat } from "./writers/heartbeat.ts";

export interface DraftsOptions {
  files: SpoolFiles;
  places: Places;
  /** Bodies above this go to files of their own. */
  largeBytes: number;
  /** Octets that all open drafts hold in memory together. */
  draftMemoryBytes: number;
  heartbeat: WriterHeartbeat;
  space: DiskSpace;
  disk: StorageWatch;
  clock: LogicalClock;
  segments: SegmentWriter;
  log: StatusLog;
  tail: StatusTail;
  counters: SpoolCounters;
  onFault: OnFault;
}

export class Drafts extends OpenDrafts {
  readonly #options: DraftsOptions;
  readonly #syncLargeDirectory: () => Promise<void>;
  #largeCount = 0;

  constructor(options: DraftsOptions) {
    super(options);
    this.#options = options;
    this.#syncLargeDirectory = coalesced(() => syncDirectory(options.files, options.places.large));
  }

  /** Discards the open drafts and waits for commits that have begun. */
  async close(): Promise<void> {
    await this.discardOpen();
    await this.commitsEnded();
  }

  openLarge(): LargeBodyWriter {
    return new LargeBodyWriter(this.#options, () => this.#nameLarge());
  }

  protected async commit(
    meta: MessageMeta,
    { length, crc, chunks, large }: DraftBody,
    settles: Settlement | undefined,
  ): Promise<StoredMessage> {
    const { segments, clock } = this.#options;
    try {
      const extra: RecordExtra = {};
      if (large !== undefined) extra.large = await this.#storeLarge(large);
      if (settles !== undefined) extra.settles = { ...settles, timestamp: clock.next() };
      const head = makeHead(meta, { length, crc }, extra);
      const bytes = headLength(head) + (large === undefined ? length : 0);
      const locator = await segments.append({ head, chunks }, bytes, settles !== undefined);
      if (extra.settles !== undefined) await this.#recordSettlement(extra.settles);
      return { meta, locator };
    } catch (error) {
      await large?.discard();
      throw error;
    }
  }

  /** @returns the name of the body's file */
  async #storeLarge(large: LargeBody): Promise<string> {
    const name = await large.finish();
    await orSpoolError(this.#syncLargeDirectory(), "the message's body could not be stored");
    this.#options.counters.largeBodies++;
    return name;
  }

  /**
   * The record says it already; other processes look in the log. A failure does not refuse the message: the log tries
   * again.
   */
  async #recordSettlement(settles: TimedSettlement): Promise<void> {
    const { log, tail, onFault } = this.#options;
    tail.follow();
    try {
      await log.appendRecorded([settles], settles.timestamp);
    } catch (error) {
      onFault({ kind: "background", doing: "recording what a message settles", error });
    }
  }

  async #nameLarge(): Promise<string> {
    this.#largeCount++;
    const count = this.#largeCount;
    return largeName(await this.#options.heartbeat.name(), count);
  }
}
