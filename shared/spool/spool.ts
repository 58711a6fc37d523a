/**
 * The spool: the interface to the storage of all messages that the gateway has accepted.
 * The spool is the truth and Redis only the schedule: jobs that Redis loses are added again from the spool.
 */
import type { Readable } from "node:stream";
import type { MessageMeta } from "../mail/message.ts";
import type { RecipientState } from "./recipient-state.ts";

/** Where a record was written: a hint, by which read() needs one pread. The record may have been moved since. */
export interface Locator {
  segment: string;
  /** Octets from the start of the segment. */
  offset: number;
  /** Octets of the whole record. */
  length: number;
  /** CRC-32 of the record. */
  checksum: number;
}

/** A new state of some recipients of a message. */
export interface Settlement {
  /** Queue id of the message. */
  id: string;
  /** Indexes into `envelope.recipients`. */
  recipients: number[];
  state: RecipientState;
}

/** The body of a message: small ones in memory, large ones as a stream from a file. */
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
   * The draft keeps the chunk, which must not be changed afterwards.
   * @throws SpoolFull, SpoolUnavailable (also through the promise)
   */
  write(chunk: Buffer): Promise<void> | undefined;
  /** Octets that were written. */
  readonly size: number;
  /**
   * Resolves when record and body are on stable storage, and not before.
   * @param settles  a settlement of another message by the same record, so that both happen or neither: a DSN settles
   *                 the failure that it reports
   * @throws SpoolFull, SpoolUnavailable; the message is not accepted then, and nothing of it will be delivered
   */
  commit(meta: MessageMeta, settles?: Settlement): Promise<StoredMessage>;
  /** Frees what was written; does nothing when the draft has ended. */
  discard(): Promise<void>;
}

export interface Spool {
  /** @throws SpoolFull when too little space is left */
  draft(): Draft;
  /**
   * One message with its body; undefined when the spool does not, or no longer, have it.
   * @throws SpoolCorrupt when its checksum does not match
   */
  read(id: string, locator?: Locator): Promise<{ meta: MessageMeta; body: Body } | undefined>;
  /**
   * As read(), without the body: also of a message whose body is damaged, or cannot be read.
   * @throws SpoolCorrupt when the envelope does not match its checksum
   */
  readMeta(id: string, locator?: Locator): Promise<MessageMeta | undefined>;
  /**
   * Records states of recipients. When it resolves, every process that shares the spool can see them; they are on
   * stable storage at most a second later. When it rejects, this process knows them all the same, and goes on trying
   * to record them.
   * @throws SpoolFull, SpoolUnavailable
   */
  settle(settlements: Settlement[]): Promise<void>;
  /**
   * Records what settle() could not record. When it resolves, every process can see all settlements of this one.
   * @throws SpoolFull, SpoolUnavailable
   */
  recordSettlements(): Promise<void>;
  /**
   * The states of a message's recipients, by index, as far as any process has recorded them (absent: pending).
   * Settlements of this process show at once, those of other processes within a second; with `fresh`, all that were
   * recorded before the call.
   */
  states(id: string, fresh?: boolean): Promise<ReadonlyMap<number, RecipientState>>;
  /**
   * Every message with an unsettled recipient, with the states of its recipients, oldest segment first.
   * The states of a message are read when the caller asks for it.
   */
  unsettled(
    walk?: UnsettledWalk,
  ): AsyncIterable<StoredMessage & { states: ReadonlyMap<number, RecipientState> }>;
  /** Frees the space of settled messages, and moves messages that wait long out of otherwise settled segments. */
  collect(): Promise<CollectReport>;
  /**
   * Whether a message could be stored now; asks the storage, so it is not for the path of a message.
   * @throws SpoolFull, SpoolUnavailable
   */
  checkWritable(): Promise<void>;
  /** How the storage is doing, from what is known of it already: asked for each message. */
  pressure(): StoragePressure;
  /** Octets free and used; for metrics. */
  status(): Promise<SpoolStatus>;
  /** The files that this process could not read lately, for health and metrics. */
  faults(): FileFault[];
  /** Flushes and closes; drafts that are still open are discarded. */
  close(): Promise<void>;
}

export interface UnsettledWalk {
  /** Hears of messages whose envelope is damaged, as long as one of their recipients is not settled. */
  onUnreadable?: (message: UnreadableMessage) => void;
  /**
   * Which of these messages to list; absent: all. It is asked, many at a time, about messages whose envelope would have
   * to be read from a file of its own, so that a caller that needs few of a million reads few files.
   */
  isWanted?: (messages: readonly SummarizedMessage[]) => Promise<readonly boolean[]>;
  /**
   * Goes on where an earlier walk stopped: lists what comes after this message, which that walk had listed, and may list
   * some of what comes before it. Messages that were stored since may be missing.
   */
  after?: WalkPlace | undefined;
}

/** A message that a walk has listed, and the place where it was. It may be gone, or have been moved. */
export interface WalkPlace {
  id: string;
  locator: Locator;
}

/** What is known of an unsettled message without its envelope. */
export interface SummarizedMessage {
  meta: Pick<MessageMeta, "id" | "parts">;
  locator: Locator;
  states: ReadonlyMap<number, RecipientState>;
}

/** A message whose envelope is damaged: nobody knows whom it is from or for. */
export interface UnreadableMessage {
  /** As it stands in the damaged record. */
  id: string;
  locator: Locator;
  states: ReadonlyMap<number, RecipientState>;
  /** How many recipients it has. */
  recipients: number;
}

export interface CollectReport {
  segmentsRemoved: number;
  messagesMoved: number;
  bytesFreed: number;
}

/** What speaks against taking another message. */
export interface StoragePressure {
  /** Octets free, without those that open messages will take; Infinity while that is not known. */
  freeBytes: number;
  /** How long the last write took, or the present one has taken so far, in milliseconds. */
  latencyMs: number;
  /** The present write: "writing messages". Absent between writes. */
  doing?: string;
  /** Why the last write failed; absent after one that succeeded. Lack of space is no failure. */
  failure?: string;
}

export interface SpoolStatus {
  bytesUsed: number;
  bytesFree: number;
  segments: number;
}

/** A file that could not be read, or not all of it. Everything else is read all the same. */
export interface FileFault {
  /** Path below the spool's directory. */
  place: string;
  reason: string;
}

/** 452 4.3.1: too little storage is left for another message. */
export class SpoolFull extends Error {
  override name = "SpoolFull";
}

/** 451 4.3.0: the storage failed. */
export class SpoolUnavailable extends Error {
  override name = "SpoolUnavailable";
}

/** A record does not match its checksums. */
export class SpoolCorrupt extends Error {
  override name = "SpoolCorrupt";
  /** How many recipients the message has; known where the record's header is intact. */
  readonly recipients: number | undefined;

  constructor(message: string, recipients?: number) {
    super(message);
    this.recipients = recipients;
  }
}
