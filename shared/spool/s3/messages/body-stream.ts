/** Reads a large body piece by piece, from the local copy or the store. Emits SpoolCorrupt instead of its end when the octets are not those that were stored. */
import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import { SpoolCorrupt } from "../../spool.ts";
import { storeError } from "../store/failures.ts";
import { bodyKey } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { LocalCache } from "./local-cache.ts";

export interface BodySource {
  store: ObjectStore;
  cache: LocalCache;
}

const pieceBytes = 2 * 1024 * 1024;

export class BodyStream extends Readable {
  readonly #source: BodySource;
  readonly #name: string;
  readonly #expected: { size: number; crc: number };
  #position = 0;
  #crc = 0;

  constructor(source: BodySource, name: string, expected: { size: number; crc: number }) {
    super({ highWaterMark: 1 });
    this.#source = source;
    this.#name = name;
    this.#expected = expected;
  }

  override _read(): void {
    const left = this.#expected.size - this.#position;
    if (left === 0) {
      if (this.#crc === this.#expected.crc) this.push(null);
      else this.destroy(new SpoolCorrupt(`the body ${this.#name} does not match its checksum`));
      return;
    }
    const length = Math.min(pieceBytes, left);
    this.#piece(length).then(
      (octets) => {
        if (octets === undefined || octets.length < length) {
          this.destroy(new SpoolCorrupt(`the body ${this.#name} is cut short`));
          return;
        }
        this.#position += octets.length;
        this.#crc = crc32(octets, this.#crc);
        this.push(octets);
      },
      (error: unknown) => this.destroy(storeError(error, "the message's body could not be read")),
    );
  }

  async #piece(length: number): Promise<Buffer | undefined> {
    const { store, cache } = this.#source;
    const key = bodyKey(this.#name);
    const copied = await cache.read(key, this.#position, length);
    return copied ?? store.get(key, { offset: this.#position, length });
  }
}
