/**
 * Which ids a segment may contain, in little memory and whatever their number: a Bloom filter (Bloom 1970) with the first and
 * the last id. It never misses an id that is there, and finds a few that are not. Pure.
 */

/** With four probes, one id in forty that is not there is found all the same; fewer where there is room for more octets. */
const bitsPerId = 8;
const probes = 4;
const fewestBits = 64;
/** A segment of 64 MiB has some 100,000 messages at most, which need as much. */
export const mostFilterBytes = 128 * 1024;

export class IdFilter {
  readonly #bits: Uint8Array;
  #first = "";
  #last = "";
  #isEmpty = true;

  /** @param count  how many ids will be added, about */
  constructor(count: number) {
    const bits = 2 ** Math.ceil(Math.log2(Math.max(fewestBits, count * bitsPerId)));
    this.#bits = new Uint8Array(Math.min(mostFilterBytes, bits / 8));
  }

  static of(ids: Iterable<string>, count: number): IdFilter {
    const filter = new IdFilter(count);
    for (const id of ids) filter.add(id);
    return filter;
  }

  /** In the order of code units; empty without ids. */
  get first(): string {
    return this.#first;
  }

  get last(): string {
    return this.#last;
  }

  /** Octets that it takes. */
  get bytes(): number {
    return this.#bits.length;
  }

  add(id: string): void {
    if (this.#isEmpty || id < this.#first) this.#first = id;
    if (this.#isEmpty || id > this.#last) this.#last = id;
    this.#isEmpty = false;
    const hash = hashOf(id);
    const step = stepOf(hash);
    for (let probe = 0; probe < probes; probe++) {
      const bit = this.#bitAt(hash, step, probe);
      this.#bits[bit >>> 3] = (this.#bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
    }
  }

  /**
   * False: the id is not there.
   * @param hash  of the id, where many filters are asked
   */
  mayHave(id: string, hash = hashOf(id)): boolean {
    if (id < this.#first || id > this.#last) return false;
    const step = stepOf(hash);
    for (let probe = 0; probe < probes; probe++) {
      const bit = this.#bitAt(hash, step, probe);
      if (((this.#bits[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }

  /** Two hashes make as many as are needed (Kirsch and Mitzenmacher 2006). The number of bits is a power of two. */
  #bitAt(hash: number, step: number, probe: number): number {
    return (hash + Math.imul(probe, step)) & (this.#bits.length * 8 - 1);
  }
}

/** Many filters that are asked as one. */
export class IdFilters {
  /** By their first id. */
  readonly #filters: readonly IdFilter[];
  /** The last id of each filter and of all before it. */
  readonly #lastSoFar: string[] = [];

  constructor(filters: readonly IdFilter[]) {
    this.#filters = filters.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
    let last = "";
    for (const filter of this.#filters) {
      if (filter.last > last) last = filter.last;
      this.#lastSoFar.push(last);
    }
  }

  /** False: the id is in none of them. */
  mayHave(id: string): boolean {
    let hash: number | undefined;
    for (let at = this.#countFrom(id) - 1; at >= 0 && (this.#lastSoFar[at] ?? "") >= id; at--) {
      hash ??= hashOf(id);
      if (this.#filters[at]?.mayHave(id, hash)) return true;
    }
    return false;
  }

  /** How many filters have a first id that is not above `id`. */
  #countFrom(id: string): number {
    let [low, high] = [0, this.#filters.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#filters[middle]?.first ?? "") <= id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** FNV-1a, and the finalizer of MurmurHash3, since the low bits are those that count. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** Odd, so that no two probes meet. */
function stepOf(hash: number): number {
  return mix(hash ^ 0x9e3779b9) | 1;
}

function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
