/**
 * Reads the header section of a message while it streams by: counts Received fields, keeps Message-ID and TLS-Required.
 * Its cost is bounded, whatever the client sends.
 */

/** Octets of a header section that are read. */
const maxHeaderBytes = 256 * 1024;
/** Octets of a line that are kept: field names and Message-IDs fit (RFC 5322 §2.1.1 allows 998). */
const maxKeptLine = 1024;
const lineFeed = 10;

export class HeaderScan {
  /** Received fields so far. */
  receivedFields = 0;
  /** False once the header section has ended or grew too long: nothing more is read. */
  open = true;
  #seen = 0;
  /** The start of a line whose end has not come yet. */
  #partial = "";
  /** The values of fields as far as received; TLS-Required with its colon. */
  #messageId: string | undefined;
  #tlsRequired: string | undefined;
  #tlsRequiredFields = 0;
  /** The field that the next line continues, if it begins with white space. */
  #at: "message-id" | "tls-required" | undefined;

  /** Takes the next octets of the message, dot-unstuffed. */
  push(chunk: Buffer): void {
    let at = 0;
    while (this.open) {
      const end = chunk.indexOf(lineFeed, at);
      if (end < 0) {
        this.#keepPartial(chunk, at);
        break;
      }
      if (this.#partial === "") this.#line(chunk, at, end);
      else this.#completeLine(chunk, at, end);
      at = end + 1;
    }
    this.#seen += chunk.length;
    if (this.#seen > maxHeaderBytes) this.open = false;
  }

  /** The Message-ID with its angle brackets (RFC 5322 §3.6.4); `undefined` when there is none of that form. */
  get messageId(): string | undefined {
    return /<[^\s<>\p{Cc}]{1,990}>/u.exec(this.#messageId ?? "")?.[0];
  }

  /** Whether the header says `TLS-Required: No`, once (RFC 8689 §3). */
  get tlsOptional(): boolean {
    return this.#tlsRequiredFields === 1 && /^[ \t]*:[ \t]*no[ \t]*$/i.test(this.#tlsRequired ?? "");
  }

  #keepPartial(chunk: Buffer, at: number): void {
    const room = maxKeptLine - this.#partial.length;
    this.#partial += chunk.toString("latin1", at, Math.min(chunk.length, at + room));
  }

  #completeLine(chunk: Buffer, at: number, end: number): void {
    const room = maxKeptLine - this.#partial.length;
    const line = Buffer.from(
      this.#partial + chunk.toString("latin1", at, Math.min(end, at + room)),
      "latin1",
    );
    this.#partial = "";
    this.#line(line, 0, line.length);
  }

  /** One line without its LF. */
  #line(bytes: Buffer, start: number, wholeEnd: number): void {
    // As much of it as is kept of one that comes in pieces.
    const lineEnd = Math.min(wholeEnd, start + maxKeptLine);
    const end = lineEnd > start && bytes[lineEnd - 1] === 13 ? lineEnd - 1 : lineEnd;
    const first = bytes[start] ?? 0;
    if (end === start) {
      this.open = false;
    } else if (first === 32 || first === 9) {
      if (this.#at === "message-id") this.#extendMessageId(bytes, start, end);
      else if (this.#at === "tls-required") this.#extendTlsRequired(bytes, start, end);
    } else {
      this.#field(bytes, start, end, first | 32);
    }
  }

  /** @param initial  the field name's first letter in lower case */
  #field(bytes: Buffer, start: number, end: number, initial: number): void {
    this.#at = undefined;
    if (initial === 114 /* r */) {
      if (fieldIs(bytes, start, end, "received")) this.receivedFields++;
    } else if (initial === 109 /* m */ && this.#messageId === undefined) {
      if (fieldIs(bytes, start, end, "message-id")) {
        this.#messageId = "";
        this.#at = "message-id";
        this.#extendMessageId(bytes, start + "message-id".length, end);
      }
    } else if (initial === 116 /* t */ && fieldIs(bytes, start, end, "tls-required")) {
      this.#tlsRequiredFields++;
      this.#tlsRequired = "";
      this.#at = "tls-required";
      this.#extendTlsRequired(bytes, start + "tls-required".length, end);
    }
  }

  #extendMessageId(bytes: Buffer, start: number, end: number): void {
    const room = maxKeptLine - (this.#messageId?.length ?? 0);
    if (room > 0) this.#messageId += bytes.toString("utf8", start, Math.min(end, start + room));
  }

  #extendTlsRequired(bytes: Buffer, start: number, end: number): void {
    const room = maxKeptLine - (this.#tlsRequired?.length ?? 0);
    if (room > 0) this.#tlsRequired += bytes.toString("latin1", start, Math.min(end, start + room));
  }
}

/** Whether the line is a field of this name; RFC 5322 §4.5 lets white space stand before the colon. @param name  lower case */
function fieldIs(bytes: Buffer, start: number, end: number, name: string): boolean {
  let at = start + name.length;
  if (at >= end) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (((bytes[start + i] ?? 0) | (code === 45 ? 0 : 32)) !== code) return false;
  }
  while (at < end && (bytes[at] === 32 || bytes[at] === 9)) at++;
  return bytes[at] === 58;
}
