/**
 * Numbers for ids of messages, and back (pure): a hash table without objects, since there may be millions. A queue id takes 12
 * octets and 5 to 11 of the table; any other id a string in a map.
 */
import { packId, unpackId, wordsPerId } from "./packed-id.ts";

/** Numbers are given out of chunks, so that one in which none is in use any more gives its memory back. */
export const numbersPerChunk = 2 ** 14;

interface Chunk {
  words: Uint32Array;
  used: number;
  /** Numbers from here on have never been given out. */
  next: number;
  /** Given back. */
  free: number[];
}

/** The table is of many small ones, so that none takes long to grow. */
const parts = 64;
const smallest = 16;

interface Part {
  /** Numbers plus one, where linear probing finds them; zero: empty. */
  places: Uint32Array;
  used: number;
}

export class IdTable {
  readonly #chunks: (Chunk | undefined)[] = [];
  /** Chunks with numbers that are not in use. */
  readonly #open = new Set<number>();
  readonly #parts: Part[] = Array.from({ length: parts }, () => ({
    places: new Uint32Array(smallest),
    used: 0,
  }));
  /** Ids that are no queue ids. */
  readonly #others = new Map<string, number>();
  readonly #otherIds = new Map<number, string>();
  readonly #words = new Uint32Array(wordsPerId);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(id: string): number | undefined {
    return packId(id, this.#words, 0) ? this.#findPacked() : this.#others.get(id);
  }

  /** The number of an id, which gets one when it has none. */
  add(id: string): number {
    const isPacked = packId(id, this.#words, 0);
    const known = isPacked ? this.#findPacked() : this.#others.get(id);
    if (known !== undefined) return known;
    const number = this.#take();
    if (isPacked) {
      this.#chunkAt(chunkOf(number)).words.set(this.#words, wordsAt(number));
      this.#insert(number);
    } else {
      this.#others.set(id, number);
      this.#otherIds.set(number, id);
    }
    this.#size++;
    return number;
  }

  #findPacked(): number | undefined {
    const hash = hashOf(this.#words, 0);
    const { places } = this.#partOf(hash);
    const mask = places.length - 1;
    const first = this.#words[0];
    const second = this.#words[1];
    const third = this.#words[2];
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const number = (places[place] ?? 0) - 1;
      if (number < 0) return undefined;
      const { words } = this.#chunkAt(chunkOf(number));
      const at = wordsAt(number);
      if (words[at] === first && words[at + 1] === second && words[at + 2] === third) return number;
    }
  }

  idOf(number: number): string {
    const other = this.#otherIds.size === 0 ? undefined : this.#otherIds.get(number);
    return other ?? unpackId(this.#chunkAt(chunkOf(number)).words, wordsAt(number));
  }

  /** @returns whether the memory of the number's chunk was given back */
  remove(number: number): boolean {
    const other = this.#otherIds.get(number);
    if (other === undefined) this.#erase(number);
    else {
      this.#others.delete(other);
      this.#otherIds.delete(number);
    }
    this.#size--;
    const at = chunkOf(number);
    const chunk = this.#chunkAt(at);
    chunk.used--;
    // The last chunk stays: otherwise a process with one message at a time would make one for each.
    if (chunk.used === 0 && this.#size > 0) {
      this.#chunks[at] = undefined;
      this.#open.delete(at);
      return true;
    }
    chunk.free.push(number);
    this.#open.add(at);
    return false;
  }

  /** A number that is not in use. */
  #take(): number {
    for (const at of this.#open) {
      const chunk = this.#chunkAt(at);
      const number = chunk.free.pop() ?? at * numbersPerChunk + chunk.next++;
      chunk.used++;
      if (chunk.used === numbersPerChunk) this.#open.delete(at);
      return number;
    }
    const gap = this.#chunks.indexOf(undefined);
    const at = gap === -1 ? this.#chunks.length : gap;
    this.#chunks[at] = { words: new Uint32Array(numbersPerChunk * wordsPerId), used: 1, next: 1, free: [] };
    this.#open.add(at);
    return at * numbersPerChunk;
  }

  #chunkAt(at: number): Chunk {
    const chunk = this.#chunks[at];
    if (chunk === undefined) throw new RangeError(`no number of chunk ${at} is in use`);
    return chunk;
  }

  #partOf(hash: number): Part {
    return this.#parts[hash >>> 26] as Part;
  }

  #hashOf(number: number): number {
    return hashOf(this.#chunkAt(chunkOf(number)).words, wordsAt(number));
  }

  #insert(number: number): void {
    const hash = this.#hashOf(number);
    const part = this.#partOf(hash);
    part.used++;
    if (part.used * 4 > part.places.length * 3) this.#resize(part, part.places.length * 2);
    put(part.places, hash, number);
  }

  /** Numbers behind it move up, so that linear probing finds them without a mark for what was removed (Knuth 6.4, R). */
  #erase(number: number): void {
    const hash = this.#hashOf(number);
    const part = this.#partOf(hash);
    const { places } = part;
    const mask = places.length - 1;
    let hole = hash & mask;
    while (places[hole] !== number + 1) hole = (hole + 1) & mask;
    for (let place = (hole + 1) & mask; places[place] !== 0; place = (place + 1) & mask) {
      const moved = places[place] ?? 0;
      const home = this.#hashOf(moved - 1) & mask;
      if (((place - home) & mask) < ((place - hole) & mask)) continue;
      places[hole] = moved;
      hole = place;
    }
    places[hole] = 0;
    part.used--;
    if (places.length > smallest && part.used * 8 < places.length) this.#resize(part, places.length / 2);
  }

  #resize(part: Part, length: number): void {
    const { places } = part;
    part.places = new Uint32Array(length);
    for (const each of places) if (each !== 0) put(part.places, this.#hashOf(each - 1), each - 1);
  }
}

function chunkOf(number: number): number {
  return Math.floor(number / numbersPerChunk);
}

function wordsAt(number: number): number {
  return (number % numbersPerChunk) * wordsPerId;
}

/** There is room: a part is never full. */
function put(places: Uint32Array, hash: number, number: number): void {
  const mask = places.length - 1;
  let place = hash & mask;
  while (places[place] !== 0) place = (place + 1) & mask;
  places[place] = number + 1;
}

/** The finalizer of MurmurHash3 over the words. */
function hashOf(words: Uint32Array, at: number): number {
  let hash =
    Math.imul(words[at] ?? 0, 0x9e3779b1) ^ Math.imul(words[at + 1] ?? 0, 0x85ebca77) ^ (words[at + 2] ?? 0);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
