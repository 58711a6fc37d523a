/**
 * The spool on a file system: one directory that all services of a host (or of a shared volume) open at the same time.
 * Owns its timers, descriptors and the writer's heartbeat, until close().
 *
 *     segments/  records of accepted messages      settled/  status logs: the states of recipients
 *     large/     bodies too large for a segment    own/      messages moved out of their segment
 *     writers/   heartbeats of living writers      moving/   collectors at work
 *     damaged/   segments with unreadable records
 *
 * It relies on this: rename() is atomic, fdatasync() reaches stable storage, and other processes see at once what one
 * has written or removed. On NFS the last needs the mount options `noac` and `lookupcache=none`.
 */
import type { MessageMeta } from "../../mail/message.ts";
import { type SpoolCounters, zeroCounters } from "../counters.ts";
import type { OnFault } from "../fault.ts";
import { FileFaults } from "../file-faults.ts";
import { LogicalClock, type RecipientState } from "../recipient-state.ts";
import {
  type Body,
  type CollectReport,
  type Draft,
  type FileFault,
  type Locator,
  type Settlement,
  type Spool,
  SpoolCorrupt,
  type SpoolStatus,
  SpoolUnavailable,
  type StoragePressure,
  type StoredMessage,
  type UnsettledWalk,
} from "../spool.ts";
import { KnownStates, StateIndex } from "../state-index.ts";
import { StorageWatch } from "../storage-watch.ts";
import { Collector } from "./cleanup/collector.ts";
import { probeDisk } from "./disk/disk-probe.ts";
import { makeDirectories, orSpoolError, spoolError } from "./disk/files.ts";
import { type Places, placesIn } from "./disk/names.ts";
import { DiskSpace } from "./disk/space.ts";
import { Drafts } from "./drafts.ts";
import { defaultFsSpoolOptions, type FsSpoolOptions } from "./options.ts";
import { RecordReader } from "./segments/reader.ts";
import { SegmentWriter } from "./segments/segment-writer.ts";
import { StoredRecords } from "./segments/stored-records.ts";
import { StatusLog } from "./states/status-log.ts";
import { StatusTail } from "./states/status-tail.ts";
import { walkUnsettled } from "./states/unsettled.ts";
import { WriterHeartbeat } from "./writers/heartbeat.ts";
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
    makeDirectories(options.directory, Object.values(places));
  } catch (error) {
    throw spoolError(error, "the spool's directories could not be made");
  }
  return new FileSystemSpool({ ...defaultFsSpoolOptions, ...options }, places);
}

const closeOldEveryMs = 1000;
const unreadable = "the spool could not be read";

class FileSystemSpool implements FsSpool {
  readonly counters: SpoolCounters = zeroCounters();
  readonly #fileFaults: FileFaults;
  readonly #space: DiskSpace;
  readonly #disk: StorageWatch;
  readonly #heartbeat: WriterHeartbeat;
  readonly #segments: SegmentWriter;
  readonly #log: StatusLog;
  readonly #tail: StatusTail;
  readonly #known: KnownStates;
  readonly #drafts: Drafts;
  readonly #records: StoredRecords;
  readonly #reader: RecordReader;
  readonly #collector: Collector;
  readonly #timer: NodeJS.Timeout;
  #closing: Promise<void> | undefined;

  constructor(options: Required<FsSpoolOptions>, places: Places) {
    const { counters } = this;
    const onFault: OnFault = (fault) => {
      if (fault.kind === "damaged") counters.damages++;
      options.onFault(fault);
    };
    const clock = new LogicalClock(options.nowMs);
    const index = new StateIndex(clock);
    const implied = new StateIndex(clock);
    this.#known = new KnownStates(index, implied);
    this.#fileFaults = new FileFaults(onFault);
    const fileFaults = this.#fileFaults;
    const common = { ...options, fileFaults, places, counters, onFault, clock, index, implied };

    this.#space = new DiskSpace(common);
    this.#disk = new StorageWatch({ ...options, probe: () => probeDisk(common), toFailure: spoolError });
    this.#heartbeat = new WriterHeartbeat(common);
    const writing = { ...common, heartbeat: this.#heartbeat, space: this.#space, disk: this.#disk };
    const segments = new SegmentWriter(writing);
    const log = new StatusLog(writing);
    this.#segments = segments;
    this.#log = log;

    const registry = new WriterRegistry(writing);
    const reading = { ...writing, registry, openSegment: () => segments.openSegment() };
    const records = new StoredRecords(reading);
    const tail = new StatusTail(reading);
    this.#records = records;
    this.#tail = tail;
    this.#reader = new RecordReader(reading);
    this.#drafts = new Drafts({ ...writing, segments, log, tail });
    this.#collector = new Collector({ ...reading, records, log, tail });

    this.#timer = setInterval(() => this.#closeOld(), closeOldEveryMs).unref();
  }

  draft(): Draft {
    this.#mustBeOpen();
    this.#space.mustHaveRoom(this.#drafts.memory.usedBytes);
    return this.#drafts.open();
  }

  async read(id: string, locator?: Locator): Promise<{ meta: MessageMeta; body: Body } | undefined> {
    this.#mustBeOpen();
    try {
      return await this.#read(id, locator);
    } catch (error) {
      // The body of a settled message goes before its record.
      if (error instanceof SpoolCorrupt && (await this.#isSettled(id, locator))) return undefined;
      throw error;
    }
  }

  async #read(id: string, locator?: Locator): Promise<{ meta: MessageMeta; body: Body } | undefined> {
    if (locator !== undefined) return this.#reader.read(id, locator);
    const moved = await this.#reader.readMoved(id);
    if (moved !== undefined) return moved;
    const found = await this.#records.find(id);
    // Not found: it may have been moved during the search.
    return found === undefined ? this.#reader.readMoved(id) : this.#reader.read(id, found);
  }

  async readMeta(id: string, locator?: Locator): Promise<MessageMeta | undefined> {
    this.#mustBeOpen();
    if (locator !== undefined) return this.#reader.readMeta(id, locator);
    const moved = await this.#reader.readMovedMeta(id);
    if (moved !== undefined) return moved;
    const found = await this.#records.find(id);
    return found === undefined ? this.#reader.readMovedMeta(id) : this.#reader.readMeta(id, found);
  }

  settle(settlements: Settlement[]): Promise<void> {
    if (settlements.length === 0) return Promise.resolve();
    this.#tail.follow();
    return this.#log.append(settlements);
  }

  recordSettlements(): Promise<void> {
    return this.#log.writeAgain();
  }

  async states(id: string, fresh?: boolean): Promise<ReadonlyMap<number, RecipientState>> {
    this.#mustBeOpen();
    await this.#loadStates();
    if (fresh === true) await orSpoolError(this.#tail.refresh(), unreadable);
    return this.#known.of(id);
  }

  async *unsettled(
    walk: UnsettledWalk = {},
  ): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
    this.#mustBeOpen();
    await this.#loadStates();
    await orSpoolError(this.#tail.refreshForScan(), unreadable);
    yield* walkUnsettled(this.#records, this.#known, walk);
  }

  async collect(): Promise<CollectReport> {
    this.#mustBeOpen();
    await this.#loadStates();
    return this.#collector.collect();
  }

  async checkWritable(): Promise<void> {
    this.#mustBeOpen();
    await orSpoolError(this.#space.checkWritable(), "it cannot be written");
  }

  pressure(): StoragePressure {
    return { freeBytes: this.#space.known(this.#drafts.memory.usedBytes), ...this.#disk.pressure() };
  }

  async status(): Promise<SpoolStatus> {
    this.#mustBeOpen();
    const [bytesFree, used] = await Promise.all([
      this.#space.askFree(),
      orSpoolError(this.#space.measureUsed(), unreadable),
    ]);
    return { bytesFree, ...used };
  }

  faults(): FileFault[] {
    return this.#fileFaults.list();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.#tail.stopFollowing();
    this.#space.close();
    await this.#drafts.close();
    await this.#disk.close();
    await this.#segments.close();
    await this.#collector.close();
    await this.#log.close();
    await this.#tail.close();
    await this.#reader.close();
    await this.#heartbeat.close();
  }

  /** Of a message whose body is damaged. */
  async #isSettled(id: string, locator: Locator | undefined): Promise<boolean> {
    const meta = await this.readMeta(id, locator);
    if (meta === undefined) return false;
    await this.states(id, true);
    return this.#known.isSettled(id, meta.envelope.recipients.length);
  }

  /** The index is complete afterwards, and kept so. */
  async #loadStates(): Promise<void> {
    this.#tail.follow();
    await orSpoolError(this.#tail.load(), unreadable);
  }

  #closeOld(): void {
    this.#segments.closeOldSegment();
    this.#log.closeOldLog();
    this.#reader.closeOldDescriptors();
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new SpoolUnavailable("the spool is closed");
  }
}
