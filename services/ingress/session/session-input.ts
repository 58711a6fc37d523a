/**
 * Cuts what a client sends into command lines and message data. Takes the place of smtp-server's stream parser, and reads
 * chunks straight from the pipe: a Writable's queue and callbacks would cost more than the parsing.
 */
import { isUtf8 } from "node:buffer";
import { SMTPStream } from "smtp-server/lib/smtp-stream";

export type LineFault = "too-long" | "malformed";

export interface InputConsumer {
  /** One command, without its line end. */
  receiveLine(line: string): void;
  /** A line that cannot be a command; the next line is read as usual. */
  receiveFault(fault: LineFault): void;
  /** Octets behind DATA. @returns index behind the end of the message, -1 while it has not come */
  receiveData(chunk: Buffer): number;
  /** All that came so far has been read: the time to send the replies (RFC 2920 §3.2). */
  inputUsedUp(): void;
  /** The client will send no more, and all that it sent has been read. */
  inputEnded(): void;
  /** One of the methods above threw: a fault of ours, which must not end the other sessions. */
  inputFailed(error: unknown): void;
  /** Bare LF ends a command line too (`bare_newline: normalise`). */
  readonly toleratesBareNewline: boolean;
  /** The next line is a response of an AUTH exchange, and may be as long as these are. */
  readonly expectsResponse: boolean;
}

const CR = 13;
const LF = 10;
/** RFC 5321 §4.5.3.1.4 says 512; RFC 3461, 6531 and others add to it. Twice what all of them together allow. */
const maxLine = 2048;
/** RFC 4954 §4: with its line end. */
const maxResponse = 12_288;

export class SessionInput extends SMTPStream {
  readonly #consumer: InputConsumer;
  #inData = false;
  /** How many things the consumer waits for: meanwhile octets stay in #rest, and the socket is not read. */
  #waits = 0;
  /** Octets of the current chunk behind the line that is being dispatched. */
  #behind = 0;
  #stopped = false;
  #ended = false;
  #rest: Buffer | undefined;
  /** The start of a line whose end has not come. */
  #partial: Buffer | undefined;
  /** The line is too long; its rest is discarded. */
  #overlong = false;

  constructor(consumer: InputConsumer) {
    super();
    this.#consumer = consumer;
  }

  /** What follows is message data, until takeData() finds its end. */
  startData(): void {
    this.#inData = true;
  }

  /** Nothing more is read until each wait() has had its resumeInput(). */
  wait(): void {
    this.#waits++;
  }

  /** Never from within a method of the consumer that the input called. */
  resumeInput(): void {
    this.#waits--;
    if (this.#waits > 0 || this.isClosed) return;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#receive(rest);
    if (this.#waits > 0) return;
    if (this.#stopped) {
      this.#stopped = false;
      this.emit("drain");
    }
    if (this.#ended) this.#consumer.inputEnded();
  }

  /** Whether the client has sent more than has been read, the line that is being dispatched included. */
  get hasMore(): boolean {
    return this.#behind > 0 || this.#rest !== undefined;
  }

  /** @returns false to stop the socket until "drain" */
  override write(chunk: Buffer): boolean {
    if (this.isClosed) return true;
    if (this.#waits > 0) this.#rest = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    else this.#receive(chunk);
    this.#stopped = this.#waits > 0;
    return !this.#stopped;
  }

  /** A command without its line end is ignored: the base class would run it. */
  override end(): this {
    this.#ended = true;
    if (!this.isClosed && this.#waits === 0) this.#consumer.inputEnded();
    return this;
  }

  /** With the line end. */
  get #maxLine(): number {
    return this.#consumer.expectsResponse ? maxResponse : maxLine;
  }

  #receive(chunk: Buffer): void {
    try {
      this.#readAll(chunk);
      this.#consumer.inputUsedUp();
    } catch (error) {
      this.#consumer.inputFailed(error);
    }
  }

  #readAll(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.isClosed) {
      if (this.#waits > 0) {
        this.#rest = at === 0 ? chunk : chunk.subarray(at);
        break;
      }
      at = this.#inData ? this.#readData(chunk, at) : this.#readLine(chunk, at);
    }
  }

  #readData(chunk: Buffer, at: number): number {
    const end = this.#consumer.receiveData(at === 0 ? chunk : chunk.subarray(at));
    if (end < 0) return chunk.length;
    this.#inData = false;
    return at + end;
  }

  #readLine(chunk: Buffer, at: number): number {
    const lineEnd = chunk.indexOf(LF, at);
    if (lineEnd < 0) {
      this.#keepPartial(chunk, at);
      return chunk.length;
    }
    this.#behind = chunk.length - lineEnd - 1;
    if (this.#overlong || (this.#partial?.length ?? 0) + lineEnd + 1 - at > this.#maxLine) {
      this.#overlong = false;
      this.#partial = undefined;
      this.#consumer.receiveFault("too-long");
    } else if (this.#partial === undefined) {
      this.#dispatch(chunk, at, lineEnd);
    } else {
      const line = Buffer.concat([this.#partial, chunk.subarray(at, lineEnd)]);
      this.#partial = undefined;
      this.#dispatch(line, 0, line.length);
    }
    this.#behind = 0;
    return lineEnd + 1;
  }

  #keepPartial(chunk: Buffer, at: number): void {
    if (this.#overlong) return;
    const part = chunk.subarray(at);
    if ((this.#partial?.length ?? 0) + part.length >= this.#maxLine) {
      this.#partial = undefined;
      this.#overlong = true;
      return;
    }
    // A copy: a few octets must not keep the chunk that they came in.
    this.#partial = Buffer.concat(this.#partial === undefined ? [part] : [this.#partial, part]);
  }

  /** @param lineEnd  where the LF stands, or would */
  #dispatch(bytes: Buffer, start: number, lineEnd: number): void {
    const closed = lineEnd > start && bytes[lineEnd - 1] === CR;
    const end = closed ? lineEnd - 1 : lineEnd;
    let wellFormed = closed || this.#consumer.toleratesBareNewline;
    let ascii = true;
    for (let i = start; i < end; i++) {
      const octet = bytes[i] ?? 0;
      if (octet === CR || octet === 0) wellFormed = false;
      if (octet > 127) ascii = false;
    }
    if (!ascii) wellFormed &&= isUtf8(bytes.subarray(start, end));
    if (wellFormed) this.#consumer.receiveLine(bytes.toString(ascii ? "latin1" : "utf8", start, end));
    else this.#consumer.receiveFault("malformed");
  }
}
