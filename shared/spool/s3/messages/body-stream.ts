/**
 * Reads a large body piece by piece, from the local copy or the store. Emits SpoolCorrupt instead of its end when the octets are not
 * those that were stored, and SpoolUnavailable when a second look, at the store alone, finds that they are: then another
 * attempt helps.
 */
import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import { SpoolCorrupt, SpoolUnavailable } from "../../spool.ts";
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
      else this.#end("does not match its checksum");
      return;
    }
    const length = Math.min(pieceBytes, left);
    this.#piece(length).then(
      (octets) => {
        if (octets === undefined || octets.length < length) {
          this.#end("is cut short");
          return;
        }
        this.#position += octets.length;
        this.#crc = crc32(octets, this.#crc);
        this.push(octets);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    this.destroy(storeError(error, "the message's body could not be read"));
  }

  /** The octets that were read are not those that were stored. */
  #end(fault: string): void {
    this.#isWholeInStore().then(
      (isWhole) => {
        const said = `the body ${this.#name} ${fault}`;
        this.destroy(
          isWhole
            ? new SpoolUnavailable(`${said} as it was read first, and is whole when it is read again`)
            : new SpoolCorrupt(said),
        );
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** Without the local copy, which may be what is wrong: nobody is to read it again. */
  async #isWholeInStore(): Promise<boolean> {
    const { store, cache } = this.#source;
    const { size, crc } = this.#expected;
    const key = bodyKey(this.#name);
    await cache.remove(key);
    let found = 0;
    for (let offset = 0; offset < size; offset += pieceBytes) {
      const length = Math.min(pieceBytes, size - offset);
      const octets = await store.get(key, { offset, length });
      if (octets === undefined || octets.length < length) return false;
      found = crc32(octets, found);
    }
    return found === crc;
  }

  async #piece(length: number): Promise<Buffer | undefined> {
    const { store, cache } = this.#source;
    const key = bodyKey(this.#name);
    const copied = await cache.read(key, this.#position, length);
    return copied ?? store.get(key, { offset: this.#position, length });
  }
}
