/** Finds the end of mail data, CRLF.CRLF (RFC 5321 §4.1.1.4), in chunks cut anywhere. Pure; copies nothing. */

const CR = 0x0d;
const endOfData = Buffer.from("\r\n.\r\n");

export type FoundEnd =
  /** `at`: just behind the final dot's line. */
  | { kind: "end"; at: number }
  /** Some servers see the end with the octet that comes next, others do not. */
  | { kind: "unclear" }
  /** The data go on in the next chunk. */
  | { kind: "none" };

export const noEnd: FoundEnd = { kind: "none" };

export class EndOfData {
  /**
   * How many octets of CRLF.CRLF the last ones are. The line end of the DATA command counts (RFC 5321 §4.1.1.4),
   * so a message of nothing is a dot at once.
   */
  #matched = 2;

  /** For the next message. */
  restart(): void {
    this.#matched = 2;
  }

  find(chunk: Buffer, offset: number): FoundEnd {
    let at = offset;
    while (this.#matched > 0 && at < chunk.length) {
      this.#step(chunk[at++]);
      if (this.#matched === 5) return { kind: "end", at };
    }
    if (at >= chunk.length) return noEnd;
    const found = chunk.indexOf(endOfData, at);
    if (found >= 0) return { kind: "end", at: found + endOfData.length };
    for (let i = Math.max(at, chunk.length - endOfData.length + 1); i < chunk.length; i++)
      this.#step(chunk[i]);
    return noEnd;
  }

  #step(octet: number | undefined): void {
    const wanted = endOfData[this.#matched];
    if (octet === wanted) this.#matched++;
    else this.#matched = octet === CR ? 1 : 0;
  }
}

/** The dot that ends the data, and its line end: no part of the message. */
export const terminatorOctets = 3;
