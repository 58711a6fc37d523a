/**
 * Reads the octets after DATA (RFC 5321 §4.1.1.4, §4.5.2): finds the end, undoes dot-stuffing, reports bare CR, bare LF,
 * NUL and 8-bit octets. Only CRLF.CRLF ends a message: any other end that some server accepts would let a client smuggle
 * a second message in.
 */
import { isAscii } from "node:buffer";

const CR = 13;
const LF = 10;
const DOT = 46;

/** The scanner's state after the last octet. */
const text = 0;
const afterCr = 1;
/** Behind CRLF, or at the very start. */
const lineStart = 2;
/** Behind a dot at the start of a line. The dot is never part of the message: stuffing, or the end. */
const afterDot = 3;
/** Behind such a dot and a CR, which is held back: it may belong to the end. */
const afterDotCr = 4;

const nothing = Buffer.alloc(0);

export class DataScanner {
  /** A CR without LF or a LF without CR was seen, and not normalised. */
  bareNewline = false;
  nul = false;
  eightBit = false;
  /** What the last push() added to the message. */
  body: Buffer = nothing;
  readonly #normalise: boolean;
  #state = lineStart;

  /** @param normalise  bare CR and bare LF become CRLF in place of being reported */
  constructor(normalise: boolean) {
    this.#normalise = normalise;
  }

  /**
   * Takes the next octets; `body` is then what they add to the message. It shares memory with the chunk, which is
   * changed: nobody else may use the chunk.
   * @returns index behind the end of the data, -1 while it has not come
   */
  push(chunk: Buffer): number {
    const end = this.#normalise ? this.#pushNormalising(chunk) : this.#pushStrict(chunk);
    if (!this.eightBit && !isAscii(this.body)) this.eightBit = true;
    return end;
  }

  /** Dropped dots close up in place: `kept` octets stand at the front, those from `from` on have yet to move there. */
  #pushStrict(chunk: Buffer): number {
    const length = chunk.length;
    let state = this.#state;
    let kept = 0;
    let from = 0;
    let at = 0;
    for (; at < length; at++) {
      let octet = chunk[at] ?? 0;
      if (state === text) {
        while (octet > CR && ++at < length) octet = chunk[at] ?? 0;
        if (at === length) break;
      } else if (state === lineStart) {
        if (octet === DOT) {
          kept = moveDown(chunk, kept, from, at);
          from = at + 1;
          state = afterDot;
          continue;
        }
      } else if (state === afterCr) {
        if (octet === LF) {
          state = lineStart;
          continue;
        }
        this.bareNewline = true;
      } else if (state === afterDot) {
        if (octet === CR) {
          state = afterDotCr;
          continue;
        }
      } else {
        if (octet === LF) {
          this.body = chunk.subarray(0, kept);
          return at + 1;
        }
        this.bareNewline = true;
      }
      state = text;
      if (octet === CR) state = afterCr;
      else if (octet === LF) this.bareNewline = true;
      else if (octet === 0) this.nul = true;
    }
    this.#state = state;
    // A CR that is held back stands last: should it be text, it is bare, and the message is refused anyway.
    kept = moveDown(chunk, kept, from, state === afterDotCr ? Math.max(from, length - 1) : length);
    this.body = kept === length ? chunk : chunk.subarray(0, kept);
    return -1;
  }

  /** Written for clarity, not speed: only listeners with `bare_newline: normalise` use it. */
  #pushNormalising(chunk: Buffer): number {
    // At worst each octet is a newline that becomes two, and a held CR comes before.
    const out = Buffer.allocUnsafe(2 * chunk.length + 2);
    let length = 0;
    let state = this.#state;
    let end = -1;
    for (let at = 0; at < chunk.length; at++) {
      const octet = chunk[at] ?? 0;
      if (state === afterDotCr) {
        if (octet === LF) {
          end = at + 1;
          break;
        }
        out[length++] = CR;
        state = afterCr;
      }
      if (state === afterCr) {
        out[length++] = LF;
        state = octet === LF ? lineStart : text;
        if (octet === LF) continue;
        // Behind a bare CR no line starts: a dot there is neither stuffing nor the end.
      } else if (state === lineStart && octet === DOT) {
        state = afterDot;
        continue;
      } else if (state === afterDot && octet === CR) {
        state = afterDotCr;
        continue;
      } else {
        state = text;
      }
      if (octet === LF) out[length++] = CR;
      out[length++] = octet;
      if (octet === CR) state = afterCr;
      else if (octet === 0) this.nul = true;
    }
    this.#state = state;
    this.body = out.subarray(0, length);
    return end;
  }
}

function moveDown(chunk: Buffer, to: number, from: number, until: number): number {
  if (to !== from && until > from) chunk.copyWithin(to, from, until);
  return to + until - from;
}
