/** Dot-stuffing (RFC 5321 §4.5.2): a line that begins with a dot gets another one; all else is unchanged. */

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const dot = 0x2e;

/**
 * Stuffs one message in chunks of any size.
 *
 * A dot after a bare LF is stuffed too: a server that accepts a bare LF as line end must not find the end of data, and
 * commands after it, inside a message (SMTP smuggling). Messages in the spool have CRLF only.
 */
export class DotStuffer {
  #last = lineFeed;
  #lastButOne = carriageReturn;

  /** @returns the same buffer when nothing in it had to be stuffed, which is nearly always */
  stuff(chunk: Buffer): Buffer {
    if (chunk.length === 0) return chunk;
    const stuffsFirst = this.#last === lineFeed && chunk[0] === dot;
    this.#lastButOne = chunk.length > 1 ? (chunk[chunk.length - 2] ?? 0) : this.#last;
    this.#last = chunk[chunk.length - 1] ?? 0;
    let found = chunk.indexOf("\n.", 0, "latin1");
    if (found < 0 && !stuffsFirst) return chunk;

    const starts = stuffsFirst ? [0] : [];
    for (; found >= 0; found = chunk.indexOf("\n.", found + 2, "latin1")) starts.push(found + 1);
    const stuffed = Buffer.allocUnsafe(chunk.length + starts.length);
    let from = 0;
    let to = 0;
    for (const start of starts) {
      to += chunk.copy(stuffed, to, from, start);
      stuffed[to++] = dot;
      from = start;
    }
    chunk.copy(stuffed, to, from);
    return stuffed;
  }

  /** The end of data, preceded by a CRLF where the message does not end in one (RFC 5321 §4.1.1.4). */
  end(): ".\r\n" | "\r\n.\r\n" {
    return this.#last === lineFeed && this.#lastButOne === carriageReturn ? ".\r\n" : "\r\n.\r\n";
  }
}
