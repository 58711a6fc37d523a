/** What the spool asks of an object store. Keys are relative to the prefix of the spool. */
import type { Capabilities } from "./capabilities.ts";

export interface ListedObject {
  key: string;
  size: number;
  /** By the store's own clock, in epoch milliseconds; most stores give whole seconds. */
  modifiedMs: number;
}

/** A multipart upload that has not been completed. */
export interface OpenUpload {
  key: string;
  uploadId: string;
  startedMs: number;
}

export interface UploadedPart {
  number: number;
  etag: string;
}

/** Requests by operation since the store was opened, attempts counted one by one; for metrics. */
export type RequestCounts = Record<StoreOperation, number>;
export type StoreOperation = "put" | "get" | "head" | "list" | "delete" | "multipart";

/** Every call repeats what is worth repeating, for a bounded time, and throws a StoreFailure then. */
export interface ObjectStore {
  readonly requests: Readonly<RequestCounts>;
  /**
   * Resolves when the object is on stable storage. A key is written once only: an attempt is repeated with the same octets,
   * so that it does not matter how many of them took place.
   * @throws StoreFailure; its `outcome` says whether the object may be there all the same
   */
  put(key: string, bytes: Buffer): Promise<void>;
  /** As put(), with `If-None-Match: *` whatever is known of the store; for its probe. */
  putIfAbsent(key: string, bytes: Buffer): Promise<void>;
  /** Writes an object whose content does not matter, once, as a test of the store. */
  touch(key: string): Promise<void>;
  /** The object, or a part of it as far as it reaches; undefined when there is none. */
  get(key: string, range?: { offset: number; length: number }): Promise<Buffer | undefined>;
  head(key: string): Promise<Omit<ListedObject, "key"> | undefined>;
  /** All objects whose keys begin so, in the order of their keys. */
  list(start: string): Promise<ListedObject[]>;
  /** Removes objects, in batches; those that do not exist count as removed. */
  remove(keys: readonly string[]): Promise<void>;
  createUpload(key: string): Promise<string>;
  uploadPart(key: string, uploadId: string, number: number, bytes: Buffer): Promise<UploadedPart>;
  /** @param size  of the whole object: an upload whose completion was not answered is recognised by it */
  completeUpload(key: string, uploadId: string, parts: UploadedPart[], size: number): Promise<void>;
  abortUpload(key: string, uploadId: string): Promise<void>;
  openUploads(start: string): Promise<OpenUpload[]>;
  /**
   * The time of the store's clock at the last answer or before, in epoch milliseconds; undefined before the first answer.
   * Clocks of gateways are never compared with it.
   */
  clockMs(): number | undefined;
  close(): void;
}

/** A store whose requests can be given up. */
export interface AbortableStore extends ObjectStore {
  capabilities: Capabilities;
  /** The same store; its requests fail at once when the signal is aborted, and a write may have taken place then. */
  until(signal: AbortSignal): AbortableStore;
}

/** A request that failed for good, or for as long as it was repeated. */
export class StoreFailure extends Error {
  override name = "StoreFailure";
  readonly kind: FailureKind;
  /** Of a write: `unknown` when it may have taken place, or may yet. */
  readonly outcome: "not-stored" | "unknown";

  constructor(kind: FailureKind, message: string, outcome: "not-stored" | "unknown", cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
    this.outcome = outcome;
  }
}

/**
 * Why a request failed.
 *
 * `missing`      no such object (or bucket)
 * `exists`       a conditional write found an object
 * `unsupported`  the store does not know this request or header
 * `full`         a quota, or the storage behind the store
 * `refused`      credentials, permissions, or a request that is wrong
 * `throttled`    too many requests; nothing was done
 * `unreachable`  no connection, hence nothing was done
 * `broken`       no answer, half an answer or a fault of the store: a write may have taken place
 */
export type FailureKind =
  | "missing"
  | "exists"
  | "unsupported"
  | "full"
  | "refused"
  | "throttled"
  | "unreachable"
  | "broken";
