/**
 * Reads the records beside the one that is asked for along with it: they share an object, and whoever delivers one of them soon
 * delivers others. One request then serves many messages on a host that has not written them. Owns some memory, for seconds.
 */
import { compactedPlace } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface ObjectPart {
  offset: number;
  length: number;
}

interface Window {
  octets: Promise<Buffer | undefined>;
  atMs: number;
}

/** Objects are read in windows that begin at multiples of this; most batches are smaller. */
const windowBytes = 256 * 1024;
/** So 4 MB at most. */
const mostWindows = 16;
/** As for open segments of a file system: far below the time for which settlements outlive their messages. */
const forgetAfterMs = 10_000;

export class ReadAhead {
  readonly #options: { store: ObjectStore; monotonicMs: () => number };
  /** By object and number of the window, in the order of their requests. */
  readonly #windows = new Map<string, Window>();

  constructor(options: { store: ObjectStore; monotonicMs: () => number }) {
    this.#options = options;
  }

  /**
   * A part of an object; a copy, so that a message keeps no more than itself in memory.
   * @returns undefined when there is no such object
   * @throws StoreFailure
   */
  async read(key: string, { offset, length }: ObjectPart): Promise<Buffer | undefined> {
    const { store } = this.#options;
    const number = Math.floor(offset / windowBytes);
    const start = number * windowBytes;
    // Of an object that was compacted, of old mail, little is wanted at a time.
    if (offset + length > start + windowBytes || key.startsWith(compactedPlace))
      return store.get(key, { offset, length });
    const octets = await this.#window(`${key} ${number}`, () =>
      store.get(key, { offset: start, length: windowBytes }),
    );
    return octets && Buffer.from(octets.subarray(offset - start, offset - start + length));
  }

  #window(name: string, get: () => Promise<Buffer | undefined>): Promise<Buffer | undefined> {
    const nowMs = this.#options.monotonicMs();
    for (const [each, { atMs }] of this.#windows)
      if (nowMs - atMs > forgetAfterMs) this.#windows.delete(each);
    const known = this.#windows.get(name);
    if (known !== undefined) return known.octets;
    const octets = get();
    this.#windows.set(name, { octets, atMs: nowMs });
    // Only what is there is worth remembering.
    const forget = (): void => {
      if (this.#windows.get(name)?.octets === octets) this.#windows.delete(name);
    };
    octets.then((found) => found ?? forget(), forget);
    const [oldest] = this.#windows.keys();
    if (this.#windows.size > mostWindows && oldest !== undefined) this.#windows.delete(oldest);
    return octets;
  }
}
