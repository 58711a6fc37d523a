/**
 * Events that are appended together: as octets from the moment they happen, since thousands of strings that wait, and are
 * joined later, cost several times as much. Owns nothing.
 */
import { maxBatch } from "./keys.ts";
import { joinsPack } from "./packing.ts";
import { WordIndex } from "./word-index.ts";

/** The events of one entry of the stream. */
export interface Pack {
  count: number;
  lines: Buffer;
}

/** A pack that may take further events: its place in a block. */
interface OpenPack {
  count: number;
  block: Buffer;
  start: number;
  end: number;
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
  readonly #packs: OpenPack[] = [];
  readonly #words = new WordIndex();
  #block = Buffer.alloc(0);
  #used = 0;

  get isFull(): boolean {
    return this.count >= maxBatch;
  }

  /** @param text  the event as JSON, on one line */
  add(text: string, words: readonly string[]): void {
    for (const word of words) this.#words.add(word, this.count);
    this.#addText(text);
    this.count++;
  }

  packs(): Pack[] {
    return this.#packs.map(({ count, block, start, end }) => ({ count, lines: block.subarray(start, end) }));
  }

  /** By shard, its records. */
  index(): ReadonlyMap<number, Buffer> {
    return this.#words.records();
  }

  #addText(text: string): void {
    let pack = this.#packs.at(-1);
    const joins = pack !== undefined && joinsPack(pack.count, pack.end - pack.start, text.length);
    const room = 1 + text.length * characterBytes;
    if (this.#block.length - this.#used < room) this.#startBlock(room, joins ? pack : undefined);
    if (pack !== undefined && joins) {
      this.#block[this.#used++] = newline;
      pack.count++;
    } else {
      pack = { count: 1, block: this.#block, start: this.#used, end: this.#used };
      this.#packs.push(pack);
    }
    const octets = this.#block.write(text, this.#used);
    this.#used += octets;
    this.octets += octets;
    pack.end = this.#used;
  }

  /** @param pack  goes on in the new block */
  #startBlock(room: number, pack: OpenPack | undefined): void {
    const next = Math.min(Math.max(this.#block.length * 2, firstBlockBytes), largestBlockBytes);
    const kept = pack === undefined ? 0 : pack.end - pack.start;
    const block = Buffer.allocUnsafeSlow(Math.max(next, kept + room));
    if (pack !== undefined) {
      pack.block.copy(block, 0, pack.start, pack.end);
      pack.block = block;
      pack.start = 0;
      pack.end = kept;
    }
    this.#block = block;
    this.#used = kept;
  }
}
