/**
 * The spool: the truth about every message that the gateway took responsibility for.
 * Redis is only the schedule; whatever it forgets is scheduled again from here.
 */
import type { Readable } from "node:stream";
import type { MessageMeta } from "../mail/message.ts";
import type { RecipientState } from "./recipient-state.ts";

/** Where a record was written: a hint that makes reading one pread. The record may have moved since; read() knows. */
export interface Locator {
  segment: string;
  /** Octets from the segment's start. */
  offset: number;
  /** Octets of the whole record. */
  length: number;
  /** CRC-32 of the record. */
  checksum: number;
}

export interface Settlement {
  /** The message's queue id. */
  id: string;
  /** Indexes into `envelope.recipients`. */
  recipients: number[];
  state: RecipientState;
}

/** The body of a message: in memory when it is small, a stream from its own file when it is not. */
export type Body = { kind: "buffer"; bytes: Buffer } | { kind: "file"; size: number; open(): Readable };

export interface StoredMessage {
  meta: MessageMeta;
  locator: Locator;
}

/** A message as it is being received. Exactly one of commit() and discard() ends it. */
export interface Draft {
  /**
   * Appends to the body. Small bodies stay in memory, larger ones go to a file of their own.
   * A returned promise is back-pressure: wait for it before the next write.
   * The draft keeps the chunk: it must not be changed afterwards.
   * @throws SpoolFull, SpoolUnavailable (also through the promise)
   */
  write(chunk: Buffer): Promise<void> | undefined;
  /** Octets so far. */
  readonly size: number;
  /**
   * Resolves when record and body are on stable storage, and not before.
   * @param settles  settled by the same record, so that both happen or neither: a DSN settles what it reports.
   * @throws SpoolFull, SpoolUnavailable; the message is then not accepted and nothing of it will be delivered
   */
  commit(meta: MessageMeta, settles?: Settlement): Promise<StoredMessage>;
  /** Frees what was written; harmless after an end. */
  discard(): Promise<void>;
}

export interface Spool {
  /** @throws SpoolFull when too little space is left */
  draft(): Draft;
  /**
   * One message with its body. `undefined` when the spool has no such message (any more).
   * @throws SpoolCorrupt when its checksum does not match
   */
  read(id: string, locator?: Locator): Promise<{ meta: MessageMeta; body: Body } | undefined>;
  /**
   * Records what became of recipients. When it resolves, every process that shares the spool can see it;
   * it is on stable storage at most a second later. When it rejects, this process knows it all the same, and goes
   * on trying to record it.
   * @throws SpoolFull, SpoolUnavailable
   */
  settle(settlements: Settlement[]): Promise<void>;
  /**
   * The states of a message's recipients, by index, as far as any process has settled them (absent: pending).
   * Own settlements show at once, those of other processes within a second; `fresh` reads theirs up to now.
   */
  states(id: string, fresh?: boolean): Promise<ReadonlyMap<number, RecipientState>>;
  /**
   * Every message with a recipient that is not settled, with the states of its recipients, oldest segment first.
   * Each state is read after the caller asked for the next element.
   */
  unsettled(): AsyncIterable<StoredMessage & { states: ReadonlyMap<number, RecipientState> }>;
  /** Frees the space of what is settled, and moves what has waited long out of otherwise settled segments. */
  collect(): Promise<CollectReport>;
  /** Octets free and used; for metrics and readiness. */
  status(): Promise<SpoolStatus>;
  /** Flushes and closes; drafts that are still open are discarded. */
  close(): Promise<void>;
}

export interface CollectReport {
  segmentsRemoved: number;
  messagesMoved: number;
  bytesFreed: number;
}

export interface SpoolStatus {
  bytesUsed: number;
  bytesFree: number;
  segments: number;
}

/** 452 4.3.1: too little storage is left for another message. */
export class SpoolFull extends Error {
  override name = "SpoolFull";
}

/** 451 4.3.0: the storage failed. */
export class SpoolUnavailable extends Error {
  override name = "SpoolUnavailable";
}

/** A record does not match its checksum. */
export class SpoolCorrupt extends Error {
  override name = "SpoolCorrupt";
}
