/** Cuts SMTP replies (RFC 5321 §4.2) out of a stream: any number of lines, of any length, in chunks of any size. Pure. */

/** Octets of a reply that are kept; no real EHLO reply is that long. */
export const maxKeptOctets = 64 * 1024;
/** RFC 5321 §4.5.3.1.5 gives a reply line 512 octets: enough for a log. */
const maxTextOctets = 512;

/** One whole reply as received. */
export interface WholeReply {
  /** 200 to 599, from the last line; 0 when that has no such code. */
  code: number;
  /** The octets, with line ends; only the first `maxKeptOctets` when `isCut`. */
  octets: Buffer;
  isCut: boolean;
}

const nothing = Buffer.alloc(0);

export class ReplyReader {
  /** The first four octets of the line that is being read: code and separator. */
  readonly #head = new Uint8Array(4);
  #headLength = 0;
  #kept: Buffer = nothing;
  #isCut = false;
  #isBetween = true;

  /** Whether the last reply has ended and the next has not begun. */
  get isBetweenReplies(): boolean {
    return this.#isBetween;
  }

  /** @returns the reply that ends in this chunk, and where; `undefined` when none does, and the chunk is used up */
  read(chunk: Buffer, offset: number): { reply: WholeReply; end: number } | undefined {
    if (offset >= chunk.length) return undefined;
    this.#isBetween = false;
    for (let at = offset; ; ) {
      const lineFeed = chunk.indexOf(0x0a, at);
      const end = lineFeed < 0 ? chunk.length : lineFeed + 1;
      for (let i = at; i < end && this.#headLength < 4; i++) {
        this.#head[this.#headLength++] = chunk[i] ?? 0;
      }
      if (lineFeed < 0) {
        this.#keep(chunk.subarray(offset));
        return undefined;
      }
      const code = this.#code();
      const isLast = !(code > 0 && this.#headLength === 4 && this.#head[3] === 0x2d);
      this.#headLength = 0;
      at = end;
      if (isLast) {
        this.#keep(chunk.subarray(offset, end));
        const reply = { code, octets: this.#kept, isCut: this.#isCut };
        this.#kept = nothing;
        this.#isCut = false;
        this.#isBetween = true;
        return { reply, end };
      }
    }
  }

  #keep(piece: Buffer): void {
    const room = maxKeptOctets - this.#kept.length;
    if (piece.length > room) this.#isCut = true;
    if (room <= 0) return;
    const fits = piece.length > room ? piece.subarray(0, room) : piece;
    this.#kept = this.#kept.length === 0 ? fits : Buffer.concat([this.#kept, fits]);
  }

  #code(): number {
    if (this.#headLength < 3) return 0;
    let code = 0;
    for (let i = 0; i < 3; i++) {
      const digit = (this.#head[i] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) return 0;
      code = code * 10 + digit;
    }
    return code >= 200 && code <= 599 ? code : 0;
  }
}

/** The reply on one line for a log: `250-a` `250 b` is `250 a / b`. At most 512 octets of it are read. */
export function replyText(reply: WholeReply): string {
  const lines = reply.octets.toString("utf8", 0, maxTextOctets).split(/\r?\n/);
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  return lines
    .map((line, i) => (i === 0 ? line.replace(/^(\d{3})-/, "$1 ") : line.replace(/^\d{3}[- ]?/, "")))
    .join(" / ")
    .trimEnd();
}

/** The keywords of an EHLO reply (RFC 5321 §4.1.1.1) in upper case, without their parameters. */
export function ehloKeywords(reply: WholeReply): Set<string> {
  const keywords = new Set<string>();
  // The first line is the server's greeting, not a keyword.
  for (const line of reply.octets.toString("latin1").split("\n").slice(1)) {
    const keyword = keywordOf(line);
    if (keyword !== "") keywords.add(keyword);
  }
  return keywords;
}

/** @param line  `250-KEYWORD parameter`; old servers write AUTH=LOGIN */
export function keywordOf(line: string): string {
  return (/^\d{3}[- ]\s*([^\s=]+)/.exec(line)?.[1] ?? "").toUpperCase();
}
