/**
 * The spool in an S3-compatible store, for hosts that share no file system. Owns its timers, connections and local files,
 * until close(). What is where: names.ts.
 *
 * Objects are written once, under the name of their writer, and never changed: no write of one process can harm another,
 * and nothing depends on conditional writes. It relies on this: what a PUT has acknowledged is durable, and a GET of it finds
 * it. A list may be late: then mail is found later, and a deletion waits.
 */
import { randomBytes } from "node:crypto";
import type { MessageMeta } from "../../mail/message.ts";
import type { Closure } from "../closure.ts";
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
import { StateIndex } from "../state-index.ts";
import { StorageWatch } from "../storage-watch.ts";
import { Collector } from "./cleanup/collector.ts";
import { removeMessages } from "./cleanup/remove-messages.ts";
import { Drafts } from "./drafts.ts";
import { LocalCache } from "./messages/local-cache.ts";
import { MessageIndex } from "./messages/message-index.ts";
import { MessageWriter } from "./messages/message-writer.ts";
import { ReadAhead } from "./messages/read-ahead.ts";
import { RecordReader } from "./messages/record-reader.ts";
import { Slots } from "./messages/slots.ts";
import { walkUnsettled } from "./messages/unsettled.ts";
import { defaultS3SpoolOptions, type S3SpoolOptions, type S3SpoolSettings } from "./options.ts";
import { StatusFollower } from "./states/status-follower.ts";
import { StatusWriter } from "./states/status-writer.ts";
import { createAwsStore } from "./store/aws-store.ts";
import { orStoreError, storeError } from "./store/failures.ts";
import { bodiesPlace, compactedPlace, messagesPlace, probePlace, WriterName } from "./store/names.ts";
import type { AbortableStore, RequestCounts } from "./store/object-store.ts";
import { StartUp } from "./store/start-up.ts";
import { StoreClosure } from "./store/store-closure.ts";

export interface S3Spool extends Spool {
  readonly counters: Readonly<SpoolCounters>;
  /** Requests to the store, by operation. */
  readonly requests: Readonly<RequestCounts>;
  /** What keeps services away while mail is handed over. */
  readonly closure: Closure;
  /** Resolves once it is known that services may use the spool. @throws SpoolUnavailable */
  admitted(): Promise<void>;
  /** The process is about to stop: a store that has not answered since the start is not waited for any longer. */
  giveUp(): void;
  /** Removes all objects in which there are only these messages. For a spool that no service uses. */
  removeMessages(ids: ReadonlySet<string>): Promise<void>;
}

/**
 * Opens the spool. Nothing is asked of the store yet, and mail can be accepted at once.
 * A draft keeps the chunks that it is given: they must not be changed afterwards.
 */
export function createS3Spool(options: S3SpoolOptions): S3Spool {
  return new ObjectStoreSpool({ ...defaultS3SpoolOptions, ...options });
}

/** Parts of large bodies in memory at the same time. */
const partsAtOnce = 4;
/** A status is measured by lists, which cost money. */
const statusForMs = 60_000;
/** A write that succeeded within this time says that the store can be written. */
const writtenForMs = 10_000;
const unreadable = "the spool could not be read";

class ObjectStoreSpool implements S3Spool {
  readonly counters: SpoolCounters = zeroCounters();
  readonly #settings: S3SpoolSettings;
  readonly #store: AbortableStore;
  /** For writes that test the store; they are given up when the spool closes. */
  readonly #tested: AbortableStore;
  readonly #testing = new AbortController();
  readonly #fileFaults: FileFaults;
  readonly #watch: StorageWatch;
  readonly #writer: WriterName;
  readonly #cache: LocalCache;
  readonly #index: StateIndex;
  readonly #messages: MessageIndex;
  readonly #statuses: StatusWriter;
  readonly #follower: StatusFollower;
  readonly #drafts: Drafts;
  readonly #reader: RecordReader;
  readonly #collector: Collector;
  #status: { value: SpoolStatus; atMs: number } | undefined;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  readonly closure: Closure;
  readonly #startUp: StartUp;
  #closing: Promise<void> | undefined;

  constructor(settings: S3SpoolSettings) {
    this.#settings = settings;
    const { counters } = this;
    const { bucket, prefix, region, endpoint, credentials, attemptMs, repeatMs, nowMs } = settings;
    const pathStyle = settings.pathStyle ?? endpoint !== undefined;
    const onFault: OnFault = (fault) => {
      if (fault.kind === "damaged") counters.damages++;
      settings.onFault(fault);
    };
    const store = createAwsStore({
      bucket,
      prefix,
      region,
      pathStyle,
      attemptMs,
      repeatMs,
      ...(endpoint !== undefined && { endpoint }),
      ...(credentials !== undefined && { credentials }),
    });
    this.#store = store;
    this.closure = new StoreClosure(store);
    this.#tested = store.until(this.#testing.signal);
    this.#fileFaults = new FileFaults(onFault);
    this.#writer = new WriterName(randomBytes(12), nowMs);
    this.#cache = new LocalCache(settings);
    const clock = new LogicalClock(nowMs);
    this.#index = new StateIndex(clock);
    this.#watch = new StorageWatch({
      ...settings,
      probe: () => this.#touch(),
      toFailure: storeError,
    });
    const common = {
      ...settings,
      store,
      cache: this.#cache,
      watch: this.#watch,
      fileFaults: this.#fileFaults,
      index: this.#index,
      writer: this.#writer,
      clock,
      counters,
      onFault,
      onDamaged: (place: string, offset: number, length: number) =>
        onFault({ kind: "damaged", place, offset, length }),
      parts: new Slots(partsAtOnce),
    };
    this.#messages = new MessageIndex(common);
    this.#follower = new StatusFollower({ ...common, writer: this.#writer.writer });
    const follower = this.#follower;
    const onWritten = (key: string, bytes: number): void => follower.noteWritten(key, bytes);
    this.#statuses = new StatusWriter({ ...common, onWritten });
    const statuses = this.#statuses;
    this.#reader = new RecordReader({ ...common, ahead: new ReadAhead(common), index: this.#messages });
    const admit = (): Promise<void> => this.admitted();
    this.#drafts = new Drafts({ ...common, messages: new MessageWriter(common), statuses, follower, admit });
    this.#collector = new Collector({ ...common, messages: this.#messages, statuses, follower });
    const { forHandover, onProbe } = settings;
    this.#startUp = new StartUp({ store, probeKey: this.#probeKey, forHandover, onProbe, onFault });
  }

  get requests(): Readonly<RequestCounts> {
    return this.#store.requests;
  }

  admitted(): Promise<void> {
    return this.#startUp.admitted();
  }

  giveUp(): void {
    this.#startUp.giveUp();
  }

  removeMessages(ids: ReadonlySet<string>): Promise<void> {
    this.#mustBeOpen();
    return orStoreError(removeMessages(this.#store, this.#messages, ids), "messages could not be removed");
  }

  draft(): Draft {
    this.#mustBeOpen();
    return this.#drafts.open();
  }

  async read(id: string, locator?: Locator): Promise<{ meta: MessageMeta; body: Body } | undefined> {
    this.#mustBeOpen();
    try {
      return await this.#reader.read(id, locator);
    } catch (error) {
      // The body of a settled message goes before its compacted record.
      if (error instanceof SpoolCorrupt && (await this.#isSettled(id, locator))) return undefined;
      throw error;
    }
  }

  async readMeta(id: string, locator?: Locator): Promise<MessageMeta | undefined> {
    this.#mustBeOpen();
    return this.#reader.readMeta(id, locator);
  }

  settle(settlements: Settlement[]): Promise<void> {
    if (settlements.length === 0) return Promise.resolve();
    this.#follower.follow();
    return this.#statuses.append(settlements);
  }

  recordSettlements(): Promise<void> {
    return this.#statuses.writeAgain();
  }

  async states(id: string, fresh?: boolean): Promise<ReadonlyMap<number, RecipientState>> {
    this.#mustBeOpen();
    await this.#loadStates();
    if (fresh === true) await orStoreError(this.#follower.refresh(), unreadable);
    return this.#index.states(id);
  }

  async *unsettled(
    walk: UnsettledWalk = {},
  ): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
    this.#mustBeOpen();
    await this.#loadStates();
    await orStoreError(this.#follower.refreshAll(), unreadable);
    const onUnreadable = (key: string, error: unknown): void => this.#fileFaults.met(key, error);
    try {
      yield* walkUnsettled(this.#messages, this.#index, onUnreadable, walk);
    } catch (error) {
      throw storeError(error, unreadable);
    }
  }

  async collect(): Promise<CollectReport> {
    this.#mustBeOpen();
    await this.admitted();
    return this.#collector.collect();
  }

  async checkWritable(): Promise<void> {
    this.#mustBeOpen();
    await this.admitted();
    if (this.#settings.monotonicMs() - this.#writtenAtMs < writtenForMs) return;
    await orStoreError(this.#touch(), "it cannot be written");
  }

  pressure(): StoragePressure {
    return { freeBytes: Number.POSITIVE_INFINITY, ...this.#watch.pressure() };
  }

  async status(): Promise<SpoolStatus> {
    this.#mustBeOpen();
    const nowMs = this.#settings.monotonicMs();
    if (this.#status !== undefined && nowMs - this.#status.atMs < statusForMs) return this.#status.value;
    const places = [messagesPlace, compactedPlace, bodiesPlace].map((place) => this.#store.list(place));
    const lists = await orStoreError(Promise.all(places), unreadable);
    const value: SpoolStatus = {
      bytesUsed: lists.flat().reduce((sum, { size }) => sum + size, 0),
      bytesFree: Number.POSITIVE_INFINITY,
      segments: lists.slice(0, 2).flat().length,
    };
    this.#status = { value, atMs: nowMs };
    return value;
  }

  faults(): FileFault[] {
    return this.#fileFaults.list();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#startUp.giveUp();
    this.#testing.abort();
    await this.#drafts.close();
    await this.#watch.close();
    await this.#collector.close();
    await this.#statuses.close();
    await this.#follower.close();
    await this.#startUp.close();
    await this.#cache.close();
    this.#store.close();
  }

  async #touch(): Promise<void> {
    await this.#tested.touch(this.#probeKey);
    this.#writtenAtMs = this.#settings.monotonicMs();
    await this.#tested.remove([this.#probeKey]);
  }

  get #probeKey(): string {
    return `${probePlace}${this.#writer.writer}`;
  }

  /** Of a message whose body is damaged. */
  async #isSettled(id: string, locator: Locator | undefined): Promise<boolean> {
    const meta = await this.readMeta(id, locator);
    if (meta === undefined) return false;
    await this.states(id, true);
    return this.#index.isSettled(id, meta.envelope.recipients.length);
  }

  /** The index is complete afterwards, and kept so. */
  async #loadStates(): Promise<void> {
    await this.admitted();
    this.#follower.follow();
    await orStoreError(this.#follower.load(), unreadable);
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new SpoolUnavailable("the spool is closed");
  }
}
