/** A message as it is being received: in memory while it is small, then in a place of its own (pure). */
import { crc32 } from "node:zlib";
import type { MessageMeta } from "../../mail/message.ts";
import { isFileSafeId } from "../../mail/queue-id.ts";
import { type Draft, type Settlement, SpoolUnavailable, type StoredMessage } from "../spool.ts";

/** A body with a place of its own in the storage: exactly one of finish() and discard() ends it. */
export interface LargeBody {
  /** @throws the error of an earlier write */
  write(chunk: Buffer): Promise<void> | undefined;
  /** Resolves with its name when all of it is on stable storage. */
  finish(): Promise<string>;
  /** Removes what was written, also after finish(). */
  discard(): Promise<void>;
}

/** The complete body of a draft. */
export interface DraftBody {
  length: number;
  crc: number;
  /** In memory; empty when the body has its own file. */
  chunks: Buffer[];
  /** Its own file, complete but not yet durable. */
  large: LargeBody | undefined;
}

/** What drafts need of their spool. */
export interface DraftHost {
  /** Bodies above this go to a file of their own. */
  largeBytes: number;
  /** Octets that all open drafts hold in memory together, and how many they may. */
  memory: { usedBytes: number; limitBytes: number };
  openLarge(): LargeBody;
  /** Takes over the body, also when it rejects. */
  store(meta: MessageMeta, body: DraftBody, settles: Settlement | undefined): Promise<StoredMessage>;
  ended(draft: BufferedDraft): void;
}

/** Chunks below this are copied together: a buffer for each octet of a slow client would cost a hundred octets. */
const tinyBytes = 1024;
const blockBytes = 4096;

export class BufferedDraft implements Draft {
  readonly #host: DraftHost;
  #state: "open" | "closed" | "ended" = "open";
  #size = 0;
  #crc = 0;
  #chunks: Buffer[] = [];
  /** Octets in memory as counted against the common limit. */
  #memoryBytes = 0;
  #block: { buffer: Buffer; used: number } | undefined;
  #large: LargeBody | undefined;

  constructor(host: DraftHost) {
    this.#host = host;
  }

  get size(): number {
    return this.#size;
  }

  write(chunk: Buffer): Promise<void> | undefined {
    this.#mustBeOpen();
    if (chunk.length === 0) return undefined;
    this.#size += chunk.length;
    this.#crc = crc32(chunk, this.#crc);
    if (this.#large !== undefined) return this.#large.write(chunk);
    this.#keep(chunk);
    const { largeBytes, memory } = this.#host;
    if (this.#size <= largeBytes && memory.usedBytes <= memory.limitBytes) return undefined;
    return this.#spill();
  }

  async commit(meta: MessageMeta, settles?: Settlement): Promise<StoredMessage> {
    this.#mustBeOpen();
    if (!isFileSafeId(meta.id)) throw new TypeError(`not a queue id: ${JSON.stringify(meta.id)}`);
    this.#state = "ended";
    this.#endBlock();
    const body = { length: this.#size, crc: this.#crc, chunks: this.#chunks, large: this.#large };
    try {
      return await this.#host.store(meta, body, settles);
    } finally {
      this.#release();
    }
  }

  async discard(): Promise<void> {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#release();
    await this.#large?.discard();
  }

  /** Discards the draft because the spool closes; later calls throw SpoolUnavailable. */
  async abandon(): Promise<void> {
    await this.discard();
    this.#state = "closed";
  }

  #mustBeOpen(): void {
    if (this.#state === "closed") throw new SpoolUnavailable("the spool is closed");
    if (this.#state === "ended") throw new Error("the draft has ended");
  }

  #keep(chunk: Buffer): void {
    if (chunk.length >= tinyBytes) {
      this.#endBlock();
      this.#chunks.push(chunk);
      this.#count(chunk.length);
      return;
    }
    if (this.#block !== undefined && this.#block.used + chunk.length > blockBytes) this.#endBlock();
    if (this.#block === undefined) {
      this.#block = { buffer: Buffer.allocUnsafe(blockBytes), used: 0 };
      this.#count(blockBytes);
    }
    this.#block.used += chunk.copy(this.#block.buffer, this.#block.used);
  }

  #endBlock(): void {
    if (this.#block === undefined) return;
    this.#chunks.push(this.#block.buffer.subarray(0, this.#block.used));
    this.#block = undefined;
  }

  #spill(): Promise<void> | undefined {
    this.#endBlock();
    const large = this.#host.openLarge();
    this.#large = large;
    let wait: Promise<void> | undefined;
    for (const chunk of this.#chunks) wait = large.write(chunk);
    this.#chunks = [];
    this.#count(-this.#memoryBytes);
    return wait;
  }

  #count(bytes: number): void {
    this.#memoryBytes += bytes;
    this.#host.memory.usedBytes += bytes;
  }

  #release(): void {
    this.#count(-this.#memoryBytes);
    this.#chunks = [];
    this.#host.ended(this);
  }
}
