/** A large body in the store, read from the local copy where there is one. The second look is at the store alone. */
import { StoredBodyStream } from "../../stored-body-stream.ts";
import { storeError } from "../store/failures.ts";
import { bodyKey } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { LocalCache } from "./local-cache.ts";

export interface BodySource {
  store: ObjectStore;
  cache: LocalCache;
}

const pieceBytes = 2 * 1024 * 1024;
const none = Buffer.alloc(0);

export class BodyStream extends StoredBodyStream {
  readonly #source: BodySource;
  readonly #key: string;

  constructor(source: BodySource, name: string, expected: { size: number; crc: number }) {
    super({ name: `the body ${name}`, expected, pieceBytes, highWaterMark: 1 });
    this.#source = source;
    this.#key = bodyKey(name);
  }

  protected async readPiece(offset: number, length: number): Promise<Buffer> {
    const copied = await this.#source.cache.read(this.#key, offset, length);
    return copied === undefined ? this.#stored(offset, length) : wholeOrNone(copied, length);
  }

  /** The local copy may be what is wrong: nobody is to read it again. */
  protected async *readAgain(size: number): AsyncGenerator<Buffer, void> {
    await this.#source.cache.remove(this.#key);
    for (let offset = 0; offset < size; offset += pieceBytes)
      yield await this.#stored(offset, Math.min(pieceBytes, size - offset));
  }

  protected failureOf(error: unknown): Error {
    return storeError(error, "the message's body could not be read");
  }

  async #stored(offset: number, length: number): Promise<Buffer> {
    return wholeOrNone(await this.#source.store.get(this.#key, { offset, length }), length);
  }
}

function wholeOrNone(octets: Buffer | undefined, length: number): Buffer {
  return octets === undefined || octets.length < length ? none : octets;
}
