/**
 * Finds the end of mail data as end-of-data.ts does, and stops before a line of one dot that only some servers take for the
 * end: they end lines at a bare CR or a bare LF, or drop NULs (SMTP smuggling). Pure; copies nothing.
 */
import { type FoundEnd, noEnd } from "./end-of-data.ts";

const NUL = 0;
const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;

/** What the last octets are to the strictest server and to the most lenient one. */
const text = 0;
const afterCr = 1;
/** CRLF: a line begins for every server. */
const lineStart = 2;
/** A line begins for some. */
const unclearLineStart = 3;
const afterDot = 4;
/** A dot where a line begins for some servers. */
const afterUnclearDot = 5;
/** CRLF, dot, CR: one octet decides. */
const afterDotCr = 6;

export class UnclearEndOfData {
  #state = lineStart;

  /** For the next message. */
  restart(): void {
    this.#state = lineStart;
  }

  find(chunk: Buffer, offset: number): FoundEnd {
    let state = this.#state;
    for (let at = offset; at < chunk.length; at++) {
      let octet = chunk[at] ?? 0;
      if (state === text) {
        while (octet !== CR && octet !== LF && ++at < chunk.length) octet = chunk[at] ?? 0;
        if (at === chunk.length) break;
      } else if (state === afterDotCr) {
        return octet === LF ? { kind: "end", at: at + 1 } : { kind: "unclear" };
      } else if (state === afterUnclearDot && (octet === CR || octet === LF)) {
        return { kind: "unclear" };
      } else if (state === afterDot && octet === LF) {
        return { kind: "unclear" };
      }
      state = nextState(state, octet);
    }
    this.#state = state;
    return noEnd;
  }
}

function nextState(state: number, octet: number): number {
  switch (octet) {
    case CR:
      return state === afterDot ? afterDotCr : afterCr;
    case LF:
      return state === afterCr ? lineStart : unclearLineStart;
    case NUL:
      if (state === text) return text;
      return state === afterDot || state === afterUnclearDot ? afterUnclearDot : unclearLineStart;
    case DOT:
      if (state === lineStart) return afterDot;
      return state === afterCr || state === unclearLineStart ? afterUnclearDot : text;
    default:
      return text;
  }
}
