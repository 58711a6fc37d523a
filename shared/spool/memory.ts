/** The spool in memory, for tests. It keeps the same contract, until its process ends. */
import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import type { MessageMeta } from "../mail/message.ts";
import { isFileSafeId } from "../mail/queue-id.ts";
import {
  allRecipientsSettled,
  foldEntries,
  LogicalClock,
  mergeStates,
  type RecipientState,
  type StatusEntry,
} from "./recipient-state.ts";
import {
  type Body,
  type CollectReport,
  type Draft,
  type FileFault,
  type Locator,
  type Settlement,
  type Spool,
  SpoolFull,
  type SpoolStatus,
  SpoolUnavailable,
  type StoragePressure,
  type StoredMessage,
  type UnsettledWalk,
} from "./spool.ts";

export interface MemorySpoolOptions {
  /** Octets of bodies that it can store; unlimited when absent. */
  capacityBytes?: number;
  /** Bodies above this are read as streams. */
  largeBytes?: number;
}

export function createMemorySpool(options: MemorySpoolOptions = {}): Spool {
  return new MemorySpool(options.capacityBytes ?? Number.POSITIVE_INFINITY, options.largeBytes ?? 256 * 1024);
}

interface MemoryMessage {
  /** As JSON, so that callers share no objects with the spool. */
  meta: string;
  recipients: number;
  body: Buffer;
  locator: Locator;
}

class MemorySpool implements Spool {
  readonly #capacityBytes: number;
  readonly #largeBytes: number;
  readonly #clock = new LogicalClock(Date.now);
  readonly #messages = new Map<string, MemoryMessage>();
  readonly #entries = new Map<string, StatusEntry[]>();
  readonly #drafts = new Set<MemoryDraft>();
  #bytes = 0;
  #position = 0;
  #closed = false;

  constructor(capacityBytes: number, largeBytes: number) {
    this.#capacityBytes = capacityBytes;
    this.#largeBytes = largeBytes;
  }

  draft(): Draft {
    this.#mustBeOpen();
    if (this.#bytes >= this.#capacityBytes) throw new SpoolFull("the memory spool is full");
    const draft: MemoryDraft = new MemoryDraft((meta, body, settles) => {
      this.#drafts.delete(draft);
      return this.#store(meta, body, settles);
    });
    this.#drafts.add(draft);
    return draft;
  }

  async read(id: string): Promise<{ meta: MessageMeta; body: Body } | undefined> {
    this.#mustBeOpen();
    const message = this.#messages.get(id);
    if (message === undefined) return undefined;
    const { body } = message;
    const meta = JSON.parse(message.meta) as MessageMeta;
    if (body.length <= this.#largeBytes) return { meta, body: { kind: "buffer", bytes: body } };
    return { meta, body: { kind: "file", size: body.length, open: () => Readable.from([body]) } };
  }

  async readMeta(id: string): Promise<MessageMeta | undefined> {
    this.#mustBeOpen();
    const message = this.#messages.get(id);
    return message && (JSON.parse(message.meta) as MessageMeta);
  }

  async settle(settlements: Settlement[]): Promise<void> {
    this.#mustBeOpen();
    for (const { id } of settlements) if (!isFileSafeId(id)) throw new TypeError(`not a queue id: ${id}`);
    for (const settlement of settlements) this.#settle(settlement);
  }

  async recordSettlements(): Promise<void> {
    this.#mustBeOpen();
  }

  async states(id: string): Promise<ReadonlyMap<number, RecipientState>> {
    this.#mustBeOpen();
    return this.#statesOf(id);
  }

  async *unsettled({
    after,
  }: UnsettledWalk = {}): AsyncGenerator<
    StoredMessage & { states: ReadonlyMap<number, RecipientState> },
    void
  > {
    this.#mustBeOpen();
    for (const [id, { meta, recipients, locator }] of this.#messages) {
      if (this.#isSettled(id, recipients)) continue;
      if (after !== undefined && locator.offset <= after.locator.offset) continue;
      yield { meta: JSON.parse(meta) as MessageMeta, locator, states: this.#statesOf(id) };
    }
  }

  async collect(): Promise<CollectReport> {
    this.#mustBeOpen();
    const report: CollectReport = { segmentsRemoved: 0, messagesMoved: 0, bytesFreed: 0 };
    for (const [id, { recipients, body }] of this.#messages) {
      if (!this.#isSettled(id, recipients)) continue;
      this.#messages.delete(id);
      this.#entries.delete(id);
      this.#bytes -= body.length;
      report.bytesFreed += body.length;
    }
    return report;
  }

  async checkWritable(): Promise<void> {
    this.#mustBeOpen();
    if (this.#bytes >= this.#capacityBytes) throw new SpoolFull("the memory spool is full");
  }

  pressure(): StoragePressure {
    return { freeBytes: this.#capacityBytes - this.#bytes, latencyMs: 0 };
  }

  async status(): Promise<SpoolStatus> {
    this.#mustBeOpen();
    return { bytesUsed: this.#bytes, bytesFree: this.#capacityBytes - this.#bytes, segments: 1 };
  }

  faults(): FileFault[] {
    return [];
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const draft of this.#drafts) draft.abandon();
  }

  #store(meta: MessageMeta, body: Buffer, settles: Settlement | undefined): StoredMessage {
    this.#mustBeOpen();
    if (!isFileSafeId(meta.id)) throw new TypeError(`not a queue id: ${JSON.stringify(meta.id)}`);
    if (this.#bytes + body.length > this.#capacityBytes) throw new SpoolFull("the memory spool is full");
    const locator = { segment: "memory", offset: this.#position, length: body.length, checksum: crc32(body) };
    const recipients = meta.envelope.recipients.length;
    this.#messages.set(meta.id, { meta: JSON.stringify(meta), recipients, body, locator });
    this.#bytes += body.length;
    this.#position += Math.max(1, body.length);
    if (settles !== undefined) this.#settle(settles);
    return { meta, locator };
  }

  #settle({ id, recipients, state }: Settlement): void {
    const entry: StatusEntry = { recipients, state, timestamp: this.#clock.next() };
    this.#entries.set(id, foldEntries([...(this.#entries.get(id) ?? []), entry]));
  }

  #statesOf(id: string): ReadonlyMap<number, RecipientState> {
    return mergeStates(this.#entries.get(id) ?? []);
  }

  #isSettled(id: string, recipients: number): boolean {
    return allRecipientsSettled(this.#statesOf(id), recipients);
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new SpoolUnavailable("the spool is closed");
  }
}

class MemoryDraft implements Draft {
  readonly #store: (meta: MessageMeta, body: Buffer, settles: Settlement | undefined) => StoredMessage;
  #state: "open" | "closed" | "ended" = "open";
  #chunks: Buffer[] = [];
  #size = 0;

  constructor(store: (meta: MessageMeta, body: Buffer, settles: Settlement | undefined) => StoredMessage) {
    this.#store = store;
  }

  get size(): number {
    return this.#size;
  }

  write(chunk: Buffer): undefined {
    this.#mustBeOpen();
    this.#chunks.push(Buffer.from(chunk));
    this.#size += chunk.length;
    return undefined;
  }

  async commit(meta: MessageMeta, settles?: Settlement): Promise<StoredMessage> {
    this.#mustBeOpen();
    this.#state = "ended";
    return this.#store(meta, Buffer.concat(this.#chunks), settles);
  }

  async discard(): Promise<void> {
    if (this.#state === "open") this.#state = "ended";
    this.#chunks = [];
  }

  abandon(): void {
    this.#state = "closed";
    this.#chunks = [];
  }

  #mustBeOpen(): void {
    if (this.#state === "closed") throw new SpoolUnavailable("the spool is closed");
    if (this.#state === "ended") throw new Error("the draft has ended");
  }
}
