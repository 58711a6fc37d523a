/**
 * The words of a batch of events, as numbers until the batch is appended: texts that wait for half a second cost several
 * times as much. Owns nothing.
 */
import { shardOf, writeBits, writePlace, writeText } from "../fingerprint.ts";
import { recordLength, shards } from "./keys.ts";

/** Numbers of a word: two of its fingerprint, and the place of its event. */
const numbers = 3;

export class WordIndex {
  #bits = new Uint32Array(numbers * 16);
  #used = 0;

  /** @param place  of the event in its batch */
  add(word: string, place: number): void {
    if (this.#used === this.#bits.length) {
      const grown = new Uint32Array(this.#bits.length * 2);
      grown.set(this.#bits);
      this.#bits = grown;
    }
    writeBits(word, this.#bits, this.#used);
    this.#bits[this.#used + 2] = place;
    this.#used += numbers;
  }

  /** By shard, a record for each word: see `keys.ts`. */
  records(): Map<number, Buffer> {
    const sizes = new Uint32Array(shards);
    const bits = this.#bits;
    for (let at = 0; at < this.#used; at += numbers) {
      const shard = shardOf(bits[at] ?? 0, shards);
      sizes[shard] = (sizes[shard] ?? 0) + recordLength;
    }
    const octets = Buffer.allocUnsafeSlow((this.#used / numbers) * recordLength);
    const records = new Map<number, Buffer>();
    const ends = new Uint32Array(shards);
    let start = 0;
    for (let shard = 0; shard < shards; shard++) {
      const size = sizes[shard] ?? 0;
      ends[shard] = start;
      if (size > 0) records.set(shard, octets.subarray(start, start + size));
      start += size;
    }
    for (let at = 0; at < this.#used; at += numbers) {
      const [a, b] = [bits[at] ?? 0, bits[at + 1] ?? 0];
      const shard = shardOf(a, shards);
      const placeAt = writeText(a, b, octets, ends[shard] ?? 0);
      ends[shard] = writePlace(bits[at + 2] ?? 0, octets, placeAt);
    }
    return records;
  }
}
