/**
 * A large body on its way: a local file while the client sends it, and parts of an upload as soon as they are complete.
 * Owns the file and the upload until finish() or discard(); the file becomes the local copy then.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import type { LargeBody } from "../../records/draft.ts";
import type { StorageWatch } from "../../storage-watch.ts";
import { storeError } from "../store/failures.ts";
import { bodyKey } from "../store/names.ts";
import { type ObjectStore, StoreFailure, type UploadedPart } from "../store/object-store.ts";
import type { LocalCache } from "./local-cache.ts";
import type { Slots } from "./slots.ts";

export interface BodyUploadOptions {
  store: ObjectStore;
  cache: LocalCache;
  watch: Pick<StorageWatch, "watch">;
  /** Octets of one part. */
  partBytes: number;
  /** Parts in memory at the same time, of all bodies of this process. */
  parts: Slots;
  monotonicMs: () => number;
}

/** Octets that may wait for the local disk before the sender has to wait. */
const highWaterBytes = 1024 * 1024;
const what = "the message's body could not be stored";

export class BodyUpload implements LargeBody {
  readonly #options: BodyUploadOptions;
  readonly #name: string;
  readonly #begunMs: number;
  #file: FileHandle | undefined;
  #path: string | undefined;
  #written = 0;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #flushing: Promise<void> | undefined;
  #uploadId: Promise<string> | undefined;
  /** Octets that parts have taken. */
  #parted = 0;
  readonly #parts: Promise<UploadedPart>[] = [];
  #failure: Error | undefined;

  constructor(options: BodyUploadOptions, name: string) {
    this.#options = options;
    this.#name = name;
    this.#begunMs = options.monotonicMs();
  }

  /** Since the first octets came. */
  get ageMs(): number {
    return this.#options.monotonicMs() - this.#begunMs;
  }

  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    this.#flushing ??= this.#flush();
    return this.#queuedBytes > highWaterBytes ? this.#flushed() : undefined;
  }

  async finish(): Promise<string> {
    const { store, cache, watch } = this.#options;
    await this.#flushed();
    const key = bodyKey(this.#name);
    try {
      await watch.watch("writing a large message", async () => {
        if (this.#uploadId === undefined)
          await this.#withPart(0, this.#written, (octets) => store.put(key, octets));
        else {
          if (this.#parted < this.#written) this.#beginPart(this.#written - this.#parted);
          const parts = await Promise.all(this.#parts);
          await store.completeUpload(key, await this.#uploadId, parts, this.#written);
          this.#uploadId = undefined;
        }
      });
    } catch (error) {
      throw storeError(error, what);
    }
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
    // The cache may refuse it; then nobody has it.
    if (this.#path !== undefined)
      await cache.adopt(key, this.#path, this.#written).catch(() => this.#removeFile());
    this.#path = undefined;
    return this.#name;
  }

  async discard(): Promise<void> {
    const { store, cache } = this.#options;
    this.#queue = [];
    this.#failure ??= new StoreFailure("refused", "the body was discarded", "not-stored");
    await this.#flushing?.catch(() => {});
    await Promise.allSettled(this.#parts);
    const key = bodyKey(this.#name);
    // What stays is an orphan, which the collector removes.
    const uploadId = await this.#uploadId?.catch(() => undefined);
    if (uploadId !== undefined) await store.abortUpload(key, uploadId).catch(() => {});
    else if (this.#written > 0) await store.remove([key]).catch(() => {});
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
    await this.#removeFile();
    await cache.remove(key);
  }

  async #removeFile(): Promise<void> {
    const path = this.#path;
    this.#path = undefined;
    if (path !== undefined) await rm(path, { force: true }).catch(() => {});
  }

  async #flushed(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Never rejects: the next write() or finish() throws the failure. */
  async #flush(): Promise<void> {
    try {
      this.#path ??= await this.#options.cache.newPath();
      this.#file ??= await open(this.#path, "wx+", 0o600);
      while (this.#queue.length > 0) {
        const pieces = this.#queue;
        const bytes = this.#queuedBytes;
        this.#queue = [];
        await writeAll(this.#file, pieces, this.#written);
        this.#written += bytes;
        this.#queuedBytes -= bytes;
        while (this.#written - this.#parted > this.#options.partBytes)
          this.#beginPart(this.#options.partBytes);
      }
    } catch (error) {
      this.#failure ??= storeError(error, what);
      this.#queue = [];
    } finally {
      this.#flushing = undefined;
    }
  }

  #beginPart(length: number): void {
    const { store } = this.#options;
    const key = bodyKey(this.#name);
    const offset = this.#parted;
    this.#parted += length;
    this.#uploadId ??= store.createUpload(key);
    const number = this.#parts.length + 1;
    const part = this.#uploadId.then((uploadId) =>
      this.#withPart(offset, length, (octets) => store.uploadPart(key, uploadId, number, octets)),
    );
    part.catch((error: unknown) => {
      this.#failure ??= storeError(error, what);
    });
    this.#parts.push(part);
  }

  /** Calls `work` with a part of the file, once there is memory for it. */
  #withPart<T>(offset: number, length: number, work: (octets: Buffer) => Promise<T>): Promise<T> {
    return this.#options.parts.use(async () => {
      const octets = Buffer.allocUnsafeSlow(length);
      if (length > 0) {
        if (this.#file === undefined) throw new Error("the body's file is closed");
        const { bytesRead } = await this.#file.read(octets, 0, length, offset);
        if (bytesRead !== length) throw new Error("the body's file is cut short");
      }
      return work(octets);
    });
  }
}

async function writeAll(file: FileHandle, pieces: readonly Buffer[], position: number): Promise<void> {
  let octets: Buffer = pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  let at = position;
  while (octets.length > 0) {
    const { bytesWritten } = await file.write(octets, 0, octets.length, at);
    octets = octets.subarray(bytesWritten);
    at += bytesWritten;
  }
}
