/** Lays out the records of one group commit for one write (pure, except for the buffer that it reuses). */

import type { Locator } from "../spool.ts";
import { headLength, placeSeed, type RecordHead, writeHead } from "./record.ts";

/** A record whose place is not known yet. */
export interface PlacelessRecord {
  head: RecordHead;
  /** Of the body; none when it has its own file. */
  chunks: Buffer[];
}

/** Below this, copying a chunk costs less than one more piece in the write. */
const copyBelow = 16 * 1024;
const slabBytes = 1024 * 1024;

export class BatchLayout {
  readonly #slab = Buffer.allocUnsafeSlow(slabBytes);

  /**
   * The pieces are valid until the next call.
   * @param segment  name of the segment
   * @param offset   octets from the segment's start to the first record
   */
  lay(
    records: readonly PlacelessRecord[],
    segment: string,
    offset: number,
  ): { pieces: Buffer[]; length: number; locators: Locator[] } {
    const seed = placeSeed(segment);
    const pieces: Buffer[] = [];
    const locators: Locator[] = [];
    // The part of the slab that is filled and not yet a piece.
    let start = 0;
    let end = 0;
    let position = offset;
    const endPiece = (): void => {
      if (end > start) pieces.push(this.#slab.subarray(start, end));
      start = end;
    };
    for (const { head, chunks } of records) {
      const headBytes = headLength(head);
      let checksum: number;
      if (end + headBytes <= slabBytes) {
        checksum = writeHead(this.#slab, end, head, seed);
        end += headBytes;
      } else {
        endPiece();
        const piece = Buffer.allocUnsafe(headBytes);
        checksum = writeHead(piece, 0, head, seed);
        pieces.push(piece);
      }
      let length = headBytes;
      for (const chunk of chunks) {
        length += chunk.length;
        if (chunk.length < copyBelow && end + chunk.length <= slabBytes) end += chunk.copy(this.#slab, end);
        else {
          endPiece();
          pieces.push(chunk);
        }
      }
      locators.push({ segment, offset: position, length, checksum });
      position += length;
    }
    endPiece();
    return { pieces, length: position - offset, locators };
  }
}
