/**
 * Reads a large body piece by piece, wherever it is stored. Emits SpoolCorrupt instead of its end when the octets are not those
 * that were stored, and SpoolUnavailable when a second look finds that they are: then another attempt helps.
 */
import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import { SpoolCorrupt, SpoolUnavailable } from "./spool.ts";

export interface StoredBodyOptions {
  /** For people: `the body in /var/…`. */
  name: string;
  expected: { size: number; crc: number };
  pieceBytes: number;
  highWaterMark: number;
}

export abstract class StoredBodyStream extends Readable {
  readonly #options: StoredBodyOptions;
  #position = 0;
  #crc = 0;

  constructor(options: StoredBodyOptions) {
    super({ highWaterMark: options.highWaterMark });
    this.#options = options;
  }

  /** @returns up to `length` octets from there on; none when the body ends before */
  protected abstract readPiece(position: number, length: number): Promise<Buffer>;

  /** The whole body once more, by a way on which nothing is remembered; less when it ends before. Each piece is used at once. */
  protected abstract readAgain(size: number): AsyncIterable<Buffer>;

  /** What the reader of the body gets when a piece cannot be read. */
  protected abstract failureOf(error: unknown): Error;

  override _read(): void {
    const { expected, pieceBytes } = this.#options;
    const left = expected.size - this.#position;
    if (left === 0) {
      if (this.#crc === expected.crc) this.push(null);
      else this.#end("does not match its checksum");
      return;
    }
    this.readPiece(this.#position, Math.min(pieceBytes, left)).then(
      (octets) => {
        if (octets.length === 0) {
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
    this.destroy(this.failureOf(error));
  }

  /** The octets that were read are not those that were stored. */
  #end(fault: string): void {
    this.#isWholeNow().then(
      (isWhole) => {
        const said = `${this.#options.name} ${fault}`;
        this.destroy(
          isWhole
            ? new SpoolUnavailable(`${said} as it was read first, and is whole when it is read again`)
            : new SpoolCorrupt(said),
        );
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #isWholeNow(): Promise<boolean> {
    const { expected } = this.#options;
    let size = 0;
    let crc = 0;
    for await (const octets of this.readAgain(expected.size)) {
      size += octets.length;
      crc = crc32(octets, crc);
    }
    return size === expected.size && crc === expected.crc;
  }
}
