/**
 * Events that are appended together: as octets from the moment they happen, since thousands of strings that wait, and are
 * joined later, cost several times as much. Owns nothing.
 */
import { encodeNumber, fingerprint } from "../fingerprint.ts";
import { maxBatch, shards } from "./keys.ts";
import { joinsPack } from "./packing.ts";

/** The events of one entry of the stream. */
export interface Pack {
  count: number;
  lines: Buffer;
}

/** A batch begins with a small block, so that a quiet gateway allocates little. */
const firstBlockBytes = 4 * 1024;
const largestBlockBytes = 64 * 1024;
/** Octets of a character in UTF-8, at most (RFC 3629 §3; two units of UTF-16 make 4). */
const characterBytes = 3;
const newline = 10;

export class EventBatch {
  /** Events. */
  count = 0;
  /** Of their JSON. */
  octets = 0;
  readonly #packs: Pack[] = [];
  /** By shard: a record for each word. */
  readonly #index = new Map<number, string>();
  #block = Buffer.alloc(0);
  #used = 0;
  /** Where the last pack begins in its block. */
  #start = 0;

  get isFull(): boolean {
    return this.count >= maxBatch;
  }

  /** @param text  the event as JSON, on one line */
  add(text: string, words: readonly string[]): void {
    this.#addWords(words);
    this.#addText(text);
    this.count++;
  }

  packs(): readonly Pack[] {
    return this.#packs;
  }

  /** By shard, its records. */
  index(): ReadonlyMap<number, string> {
    return this.#index;
  }

  #addWords(words: readonly string[]): void {
    const place = encodeNumber(this.count, 2);
    for (const word of words) {
      const { shard, text } = fingerprint(word, shards);
      this.#index.set(shard, `${this.#index.get(shard) ?? ""}${text}${place}`);
    }
  }

  #addText(text: string): void {
    const last = this.#packs.at(-1);
    const room = 1 + text.length * characterBytes;
    const isOfLast = last !== undefined && joinsPack(last.count, last.lines.length, text.length);
    if (this.#block.length - this.#used < room) this.#startBlock(room, isOfLast ? last.lines : undefined);
    if (!isOfLast) this.#start = this.#used;
    else this.#block[this.#used++] = newline;
    const octets = this.#block.write(text, this.#used);
    this.#used += octets;
    this.octets += octets;
    const lines = this.#block.subarray(this.#start, this.#used);
    if (!isOfLast) this.#packs.push({ count: 1, lines });
    else {
      last.count++;
      last.lines = lines;
    }
  }

  /** @param lines  of the last pack, which goes on in the new block */
  #startBlock(room: number, lines: Buffer | undefined): void {
    const next = Math.min(Math.max(this.#block.length * 2, firstBlockBytes), largestBlockBytes);
    const kept = lines?.length ?? 0;
    this.#block = Buffer.allocUnsafeSlow(Math.max(next, kept + room));
    this.#used = lines?.copy(this.#block) ?? 0;
    this.#start = 0;
  }
}
