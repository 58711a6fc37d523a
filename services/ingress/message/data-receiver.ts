/** Receives the data of one message, from 354 to the final dot. Owns the draft until that is committed or abandon(). */
import { HeaderScan } from "../../../shared/mail/headers.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { type Draft, SpoolFull } from "../../../shared/spool/spool.ts";
import { DataScanner } from "./data-scanner.ts";
import { replies } from "./session-replies.ts";

export interface DataLimits {
  /** 0: no limit. */
  maxMessageBytes: number;
  /** Received fields. */
  maxHops: number;
  normaliseNewlines: boolean;
}

/** Where the message goes besides the spool: to a remote server, while the client waits. */
export interface RemoteSink {
  /** @returns what to wait for before the next octets; it never rejects */
  write(bytes: Buffer): Promise<void> | undefined;
}

/** A refused message is read to its end, so that the client gets the reply; but no further than this behind the limit. */
const patienceBytes = 64 * 1024 * 1024;
/** A sender slower than this occupies a session for nothing (Postfix: smtpd_min_data_rate). Dial-up was ten times as fast. */
const minOctetsPerSecond = 500;
/** Short messages may take so long. */
const minDataMs = 5 * 60_000;

export class DataReceiver {
  readonly draft: Draft;
  readonly startedAtMs: number;
  /** Why the message will be refused at its end. */
  refusal: Reply | undefined;
  /** The storage's error. With a remote sink, which may get the message all the same, it is no refusal yet. */
  storageError: unknown;
  /** Set by push() when the storage or the remote sink asks to wait before the next one. Never rejects. */
  pressure: Promise<void> | undefined;
  /** Octets of the message so far. */
  size = 0;
  readonly #limits: DataLimits;
  readonly #scanner: DataScanner;
  readonly #headers = new HeaderScan();
  readonly #remote: RemoteSink | undefined;
  /** As they came, with stuffed dots. */
  #octets = 0;
  #pausedMs = 0;

  constructor(draft: Draft, limits: DataLimits, nowMs: number, remote?: RemoteSink) {
    this.draft = draft;
    this.#limits = limits;
    this.#remote = remote;
    this.#scanner = new DataScanner(limits.normaliseNewlines);
    this.startedAtMs = nowMs;
  }

  get has8bit(): boolean {
    return this.#scanner.eightBit;
  }

  get messageId(): string | undefined {
    return this.#headers.messageId;
  }

  get tlsOptional(): boolean {
    return this.#headers.tlsOptional;
  }

  /** Takes the next octets. @returns index behind the end of the message, -1 while it has not come */
  push(chunk: Buffer): number {
    this.pressure = undefined;
    this.#octets += chunk.length;
    const end = this.#scanner.push(chunk);
    const body = this.#scanner.body;
    this.size += body.length;
    if (this.refusal === undefined) this.#receiveBody(body);
    return end;
  }

  /** So large that reading the message to its end would cost more than the client's reply is worth. */
  get isTooLargeToReadOn(): boolean {
    const { maxMessageBytes } = this.#limits;
    return maxMessageBytes > 0 && this.size > maxMessageBytes + Math.max(maxMessageBytes, patienceBytes);
  }

  /** Whether the client sends too slowly on average. To be asked as data comes; `timeouts.client` covers silence. */
  isTooSlow(nowMs: number): boolean {
    const allowedMs = minDataMs + (this.#octets / minOctetsPerSecond) * 1000;
    return nowMs - this.startedAtMs - this.#pausedMs > allowedMs;
  }

  /** The client was not read for so long. */
  addPause(ms: number): void {
    this.#pausedMs += ms;
  }

  /** Discards the draft. */
  abandon(): void {
    // Nothing here depends on it: the spool cleans up what a failed discard leaves behind.
    this.draft.discard().catch(() => {});
  }

  #receiveBody(body: Buffer): void {
    const { maxMessageBytes, maxHops } = this.#limits;
    if (this.#headers.open) this.#headers.push(body);
    if (maxMessageBytes > 0 && this.size > maxMessageBytes) this.#refuse(replies.tooLarge);
    else if (this.#scanner.bareNewline || this.#scanner.nul) this.#refuse(replies.bareNewline);
    else if (this.#headers.receivedFields > maxHops) this.#refuse(replies.loop);
    else if (body.length > 0) this.#write(body);
  }

  /** At most once in each push(), as the draft may ask to wait. */
  #write(bytes: Buffer): void {
    if (this.storageError === undefined) {
      try {
        this.pressure = this.draft.write(bytes)?.catch((error: unknown) => this.#storageFailed(error));
      } catch (error) {
        this.#storageFailed(error);
      }
    }
    const remotePressure = this.#remote?.write(bytes);
    if (remotePressure === undefined) return;
    const { pressure } = this;
    this.pressure =
      pressure === undefined ? remotePressure : Promise.all([pressure, remotePressure]).then(() => undefined);
  }

  #storageFailed(error: unknown): void {
    this.storageError = error;
    if (this.#remote === undefined) this.#refuse(storageReply(error));
    else this.abandon();
  }

  #refuse(reply: Reply): void {
    this.refusal ??= reply;
    this.abandon();
  }
}

/** The reply to a client when the spool fails. */
export function storageReply(error: unknown): Reply {
  return error instanceof SpoolFull ? replies.storageShort : replies.localError;
}
