/**
 * The spool on a file system: one directory that all services of a host (or of a shared volume) open at the same time.
 * Owns its timers, descriptors and the writer's sign of life, until close().
 *
 *     segments/  records of accepted messages      settled/  what became of recipients
 *     large/     bodies too large for a segment    own/      messages moved out of their segment
 *     writers/   who is alive                      moving/   collectors at work
 *     damaged/   segments with unreadable records
 *
 * What it takes for granted: rename() is atomic, fdatasync() means it, and a file that one process has written or
 * removed is seen by the others at once. On NFS the last needs the mount options `noac` and `lookupcache=none`.
 */
import type { MessageMeta } from "../../mail/message.ts";
import { LogicalClock, type RecipientState } from "../recipient-state.ts";
import {
  type Body,
  type CollectReport,
  type Draft,
  type Locator,
  type Settlement,
  type Spool,
  SpoolFull,
  type SpoolStatus,
  SpoolUnavailable,
  type StoredMessage,
} from "../spool.ts";
import { KnownStates, StateIndex } from "../state-index.ts";
import { Collector } from "./cleanup/collector.ts";
import { coalesced } from "./disk/coalesce.ts";
import { type SpoolCounters, zeroCounters } from "./disk/counters.ts";
import { makeDirectories } from "./disk/directories.ts";
import type { OnFault } from "./disk/fault.ts";
import { spoolError, syncDirectory } from "./disk/files.ts";
import { FreeSpace } from "./disk/free-space.ts";
import { largeName, type Places, placesIn } from "./disk/names.ts";
import { measureUse } from "./disk/usage.ts";
import { defaultFsSpoolOptions, type FsSpoolOptions } from "./options.ts";
import { type DraftBody, type DraftHost, FsDraft } from "./segments/draft.ts";
import { LargeBodyWriter } from "./segments/large-body.ts";
import { RecordReader } from "./segments/reader.ts";
import { headLength, makeHead, type RecordExtra, type StampedSettlement } from "./segments/record.ts";
import { SegmentWriter } from "./segments/segment-writer.ts";
import { SettleLog } from "./states/status-log.ts";
import { SettleTail } from "./states/status-tail.ts";
import { findRecord, type WalkOptions, walkUnsettled } from "./states/unsettled.ts";
import { OwnWriter } from "./writers/own-writer.ts";
import { WriterRegistry } from "./writers/writer-registry.ts";

export interface FsSpool extends Spool {
  readonly counters: Readonly<SpoolCounters>;
}

/**
 * Opens the spool in `directory`, which is made when it is missing. Nothing is read yet: mail can be accepted at once.
 * A draft keeps the chunks that it is given: they must not be changed afterwards.
 * @throws SpoolUnavailable when the directories cannot be made
 */
export function createFsSpool(options: FsSpoolOptions): FsSpool {
  const places = placesIn(options.directory);
  try {
    makeDirectories(options.directory, places);
  } catch (error) {
    throw spoolError(error, "the spool's directories could not be made");
  }
  return new FileSystemSpool({ ...defaultFsSpoolOptions, ...options }, places);
}

class FileSystemSpool implements FsSpool {
  readonly counters: SpoolCounters = zeroCounters();
  readonly #options: Required<FsSpoolOptions>;
  readonly #places: Places;
  readonly #onFault: OnFault;
  readonly #clock: LogicalClock;
  readonly #own: OwnWriter;
  readonly #known: KnownStates;
  readonly #tail: SettleTail;
  readonly #segments: SegmentWriter;
  readonly #log: SettleLog;
  readonly #reader: RecordReader;
  readonly #collector: Collector;
  readonly #space: FreeSpace;
  readonly #walk: WalkOptions;
  readonly #syncLarge: () => Promise<void>;
  readonly #draftHost: DraftHost;
  readonly #drafts = new Set<FsDraft>();
  readonly #commits = new Set<Promise<StoredMessage>>();
  readonly #tickTimer: NodeJS.Timeout;
  #followTimer: NodeJS.Timeout | undefined;
  #largeCount = 0;
  #closing: Promise<void> | undefined;

  constructor(options: Required<FsSpoolOptions>, places: Places) {
    const { files, nowMs } = options;
    this.#options = options;
    this.#places = places;
    this.#onFault = (fault) => {
      if (fault.kind === "damaged") this.counters.damages++;
      options.onFault(fault);
    };
    const onFault = this.#onFault;
    this.#clock = new LogicalClock(nowMs);
    const index = new StateIndex(this.#clock);
    const impliedSettlements = new StateIndex(this.#clock);
    this.#known = new KnownStates(index, impliedSettlements);
    this.#own = new OwnWriter({ ...options, directory: places.writers, onFault });
    const shared = { ...options, onFault, counters: this.counters, writer: this.#own, index };
    const registry = new WriterRegistry({ ...options, directory: places.writers, own: this.#own });
    this.#segments = new SegmentWriter({ ...shared, directory: places.segments });
    this.#log = new SettleLog({ ...shared, directory: places.settled, clock: this.#clock });
    this.#walk = {
      files,
      places,
      registry,
      openSegment: () => this.#segments.openSegment(),
      onFault,
    };
    this.#tail = new SettleTail({ ...this.#walk, own: this.#own, index, impliedSettlements });
    this.#reader = new RecordReader(files, places, this.counters);
    this.#collector = new Collector({
      ...options,
      ...this.#walk,
      own: this.#own,
      index,
      log: this.#log,
      tail: this.#tail,
    });
    this.#space = new FreeSpace(files, options.directory, onFault);
    this.#syncLarge = coalesced(() => syncDirectory(files, places.large));
    this.#draftHost = {
      largeBytes: options.largeBytes,
      memory: { usedBytes: 0, limitBytes: options.draftMemoryBytes },
      openLarge: () => new LargeBodyWriter(files, places.large, () => this.#nameLarge()),
      store: (meta, body, settles) => this.#tracked(this.#store(meta, body, settles)),
      ended: (draft) => this.#drafts.delete(draft),
    };
    this.#tickTimer = setInterval(() => this.#tick(), tickMs).unref();
  }

  draft(): Draft {
    this.#mustBeOpen();
    const { minFreeBytes } = this.#options;
    if (this.#space.freeBytes < minFreeBytes)
      throw new SpoolFull(`${this.#space.freeBytes} octets are free, ${minFreeBytes} are to be kept`);
    const draft = new FsDraft(this.#draftHost);
    this.#drafts.add(draft);
    return draft;
  }

  async read(id: string, locator?: Locator): Promise<{ meta: MessageMeta; body: Body } | undefined> {
    this.#mustBeOpen();
    if (locator !== undefined) return this.#reader.read(id, locator);
    const own = await this.#reader.readMoved(id);
    if (own !== undefined) return own;
    const found = await findRecord(this.#walk, id);
    // Not found: it may have moved to its own file behind the search.
    return found === undefined ? this.#reader.readMoved(id) : this.#reader.read(id, found);
  }

  settle(settlements: Settlement[]): Promise<void> {
    if (settlements.length === 0) return Promise.resolve();
    this.#follow();
    return this.#log.append(settlements);
  }

  async states(id: string, fresh?: boolean): Promise<ReadonlyMap<number, RecipientState>> {
    this.#mustBeOpen();
    await this.#loaded();
    if (fresh === true) await this.#orUnavailable(this.#tail.refresh());
    return this.#known.of(id);
  }

  async *unsettled(): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
    this.#mustBeOpen();
    await this.#loaded();
    await this.#orUnavailable(this.#tail.refreshAll());
    yield* walkUnsettled(this.#walk, this.#known);
  }

  async collect(): Promise<CollectReport> {
    this.#mustBeOpen();
    await this.#loaded();
    return this.#collector.collect();
  }

  async status(): Promise<SpoolStatus> {
    this.#mustBeOpen();
    const { files } = this.#options;
    const [bytesFree, use] = await Promise.all([
      this.#space.ask(),
      this.#orUnavailable(measureUse(files, this.#places)),
    ]);
    return { bytesFree, ...use };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#tickTimer);
    clearInterval(this.#followTimer);
    this.#space.close();
    await Promise.all([...this.#drafts].map((draft) => draft.abandon()));
    await Promise.allSettled(this.#commits);
    await this.#segments.close();
    await this.#collector.close();
    await this.#log.close();
    await this.#tail.close();
    await this.#reader.close();
    await this.#own.close();
  }

  async #store(
    meta: MessageMeta,
    { length, crc, chunks, large }: DraftBody,
    settles: Settlement | undefined,
  ): Promise<StoredMessage> {
    try {
      const extra: RecordExtra = {};
      if (large !== undefined) {
        extra.large = await large.finish();
        await this.#orUnavailable(this.#syncLarge());
        this.counters.largeBodies++;
      }
      if (settles !== undefined) extra.settles = { ...settles, timestamp: this.#clock.next() };
      const head = makeHead(meta, { length, crc }, extra);
      const bytes = headLength(head) + (large === undefined ? length : 0);
      const locator = await this.#segments.append({ head, chunks }, bytes, settles !== undefined);
      if (extra.settles !== undefined) await this.#noteSettled(extra.settles);
      return { meta, locator };
    } catch (error) {
      await large?.discard();
      throw error;
    }
  }

  /** The record says it already; the log is where the others look. What cannot be written now is tried again. */
  async #noteSettled(settles: StampedSettlement): Promise<void> {
    this.#follow();
    try {
      await this.#log.append([settles], settles.timestamp);
    } catch (error) {
      this.#onFault({ kind: "background", doing: "recording what a message settles", error });
    }
  }

  #tracked(commit: Promise<StoredMessage>): Promise<StoredMessage> {
    this.#commits.add(commit);
    const ended = (): void => void this.#commits.delete(commit);
    commit.then(ended, ended);
    return commit;
  }

  async #nameLarge(): Promise<string> {
    this.#largeCount++;
    const count = this.#largeCount;
    return largeName(await this.#own.name(), count);
  }

  /** The index, complete; from then on it is kept so. */
  async #loaded(): Promise<void> {
    this.#follow();
    await this.#orUnavailable(this.#tail.load());
  }

  /** Begins to follow the settlements of others; a process that settles nothing and asks for nothing need not. */
  #follow(): void {
    if (this.#followTimer !== undefined || this.#closing !== undefined) return;
    const report = (error: unknown): void =>
      this.#onFault({ kind: "background", doing: "reading settlements", error });
    this.#followTimer = setInterval(
      () => void this.#tail.refreshAll().catch(report),
      this.#options.followMs,
    ).unref();
  }

  #tick(): void {
    this.#segments.tick();
    this.#log.tick();
    this.#reader.tick();
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new SpoolUnavailable("the spool is closed");
  }

  async #orUnavailable<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw spoolError(error, "the spool could not be read");
    }
  }
}

const tickMs = 1000;
