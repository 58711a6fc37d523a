/**
 * One connection to an SMTP server: writes octets, reads replies, with a deadline for each. It owns its socket, which
 * destroy(), quit() or any fault of the connection closes.
 */
import type net from "node:net";
import tls from "node:tls";
import { parseReply } from "../../smtp/parse-reply.ts";
import { ReplyReader, type WholeReply } from "../../smtp/reply-reader.ts";
import type { SmtpCommandName, SmtpReply } from "../../smtp/status.ts";
import { closedByPeer, type DisconnectReason, errorText, seconds } from "./disconnect-reason.ts";

export type Heard =
  | { kind: "reply"; reply: SmtpReply }
  | { kind: "lost"; disconnectReason: DisconnectReason };

/** A server that sends more replies than this without being asked is disconnected. */
const maxUnheardReplies = 2000;

export class SmtpConnection {
  #socket: net.Socket;
  #reader = new ReplyReader();
  readonly #replies: WholeReply[] = [];
  #disconnectReason: DisconnectReason | undefined;
  /** Present while somebody waits for a change: called once, when it comes. */
  #wake: (() => void) | undefined;
  /** What is waited for, where it does not come in time. */
  #lateReason: (() => string) | undefined;
  /** When what is waited for is late, on the clock of `performance`. */
  #lateAtMs = 0;
  /** Goes on while nobody waits: the next wait needs no other, unless it is to end earlier. The open socket keeps the process. */
  #timer: NodeJS.Timeout | undefined;
  #timerEndsAtMs = 0;
  #onClosed: (() => void) | undefined;
  /** Called once when a reply comes or the connection ends although no reply is awaited. */
  onUnexpected: (() => void) | undefined;

  /** Called with each reply that hear() returns. */
  onHeard: ((reply: SmtpReply) => void) | undefined;

  /** @param socket  connected */
  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  get disconnectReason(): DisconnectReason | undefined {
    return this.#disconnectReason;
  }

  /** Whether a reply has come that hear() has not returned yet; in the middle of a message it is an early refusal. */
  get hasReply(): boolean {
    return this.#replies.length > 0;
  }

  /** Whether the connection is open and no unasked reply has come, so that the next reply answers the next command. */
  get isInStep(): boolean {
    return (
      this.#disconnectReason === undefined && this.#replies.length === 0 && this.#reader.isBetweenReplies
    );
  }

  /** Whether something has come, if only the beginning of a reply, that no later command is answered by. */
  get hasStaleReply(): boolean {
    const [first] = this.#replies;
    return first === undefined ? !this.#reader.isBetweenReplies : first.code !== 421;
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  /** @returns false when drained() should be awaited before more is written */
  write(data: string | Buffer, encoding: "latin1" | "utf8" = "utf8"): boolean {
    if (this.#disconnectReason !== undefined) return true;
    return this.#socket.write(data, encoding);
  }

  /**
   * Writes one command, or several that the server takes together (RFC 2920). A reply that is here before the command
   * cannot be its answer: client and server are out of step, and the session ends. Only 421 may come at any time
   * (RFC 5321 §3.8): hear() returns it.
   */
  command(lines: string, encoding: "latin1" | "utf8" = "utf8"): void {
    const [early] = this.#replies;
    if (this.hasStaleReply) {
      this.#replies.length = 0;
      const said = early === undefined ? "" : `: ${startOf(early)}`;
      this.destroy("malformed", `it spoke before it was asked${said}`);
    } else if (early === undefined) {
      this.write(lines, encoding);
    }
  }

  /** The next reply. @param command  what it answers */
  hear(command: SmtpCommandName, timeoutMs: number): Promise<Heard> {
    if (this.#replies.length > 0 || this.#disconnectReason !== undefined)
      return Promise.resolve(this.#takeReply(command));
    return new Promise((resolve) => {
      this.#waitForChange(
        timeoutMs,
        () => `no reply to ${spoken(command)} within ${seconds(timeoutMs)}`,
        () => resolve(this.#takeReply(command)),
      );
    });
  }

  #takeReply(command: SmtpCommandName): Heard {
    const whole = this.#replies.shift();
    // A reply that came before the end of the connection still counts.
    if (whole === undefined)
      return { kind: "lost", disconnectReason: this.#disconnectReason ?? closedByPeer };
    const reply = parseReply(whole, command);
    if (reply !== undefined) {
      this.onHeard?.(reply);
      return { kind: "reply", reply };
    }
    return {
      kind: "lost",
      disconnectReason: this.destroy("malformed", `it does not speak SMTP: "${startOf(whole)}"`),
    };
  }

  /** Waits until the socket has sent what was written, a reply comes, or the connection is lost. */
  async drained(timeoutMs: number): Promise<void> {
    if (!this.#socket.writableNeedDrain || this.hasReply || this.#disconnectReason !== undefined) return;
    const drain = () => this.#awake();
    this.#socket.once("drain", drain);
    await this.#change(timeoutMs, () => `it took no data for ${seconds(timeoutMs)}`);
    this.#socket.removeListener("drain", drain);
  }

  /** Starts TLS on the connection (RFC 3207). No reply may be waiting. */
  async upgrade(
    options: tls.ConnectionOptions,
    timeoutMs: number,
  ): Promise<tls.TLSSocket | DisconnectReason> {
    // RFC 3207 §4: what follows the 220 in clear text may come from an attacker.
    if (this.hasReply || !this.#reader.isBetweenReplies) {
      return this.destroy("tls", "something followed the reply to STARTTLS in clear text");
    }
    const plain = this.#socket;
    this.#ignore(plain);
    const secure = tls.connect({ ...options, socket: plain });
    this.#socket = secure;
    let isSecure = false;
    secure.once("secureConnect", () => {
      isSecure = true;
      this.#awake();
    });
    this.#listen(secure);
    // Without a listener an error of the plain socket would end the process.
    plain.on("error", () => {});
    await this.#change(timeoutMs, () => `the TLS handshake was not over within ${seconds(timeoutMs)}`);
    if (isSecure && this.#disconnectReason === undefined) return secure;
    const disconnectReason = this.#disconnectReason ?? closedByPeer;
    this.#disconnectReason = {
      kind: disconnectReason.kind === "aborted" ? "aborted" : "tls",
      reason: disconnectReason.reason,
    };
    secure.destroy();
    return this.#disconnectReason;
  }

  /** Closes the connection at once. @returns the reason, or the earlier one when it was closed already */
  destroy(kind: DisconnectReason["kind"], reason: string): DisconnectReason {
    this.#disconnectReason ??= { kind, reason };
    this.#socket.destroy();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#onClosed?.();
    this.#changed();
    return this.#disconnectReason;
  }

  /** Calls `closed` when the connection is closed, at once if it is; perhaps more than once. */
  whenClosed(closed: () => void): void {
    this.#onClosed = closed;
    if (this.#disconnectReason !== undefined) closed();
  }

  /** Says QUIT (RFC 5321 §4.1.1.10) and closes when the server has answered, at the latest after `timeoutMs`. */
  async quit(timeoutMs: number): Promise<void> {
    if (this.#disconnectReason === undefined) {
      this.onUnexpected = undefined;
      this.#replies.length = 0;
      this.#socket.end("QUIT\r\n");
      await this.hear("QUIT", timeoutMs);
    }
    this.destroy("closed", closedByPeer.reason);
  }

  #listen(socket: net.Socket): void {
    socket
      .on("data", this.#onData)
      .on("end", this.#onEnd)
      .on("close", this.#onEnd)
      .on("error", this.#onError);
  }

  #ignore(socket: net.Socket): void {
    socket
      .off("data", this.#onData)
      .off("end", this.#onEnd)
      .off("close", this.#onEnd)
      .off("error", this.#onError);
  }

  readonly #onData = (chunk: Buffer): void => {
    let at = 0;
    for (let read = this.#reader.read(chunk, at); read !== undefined; read = this.#reader.read(chunk, at)) {
      this.#replies.push(read.reply);
      at = read.end;
    }
    if (this.#replies.length > maxUnheardReplies) {
      this.destroy("malformed", "it sends replies without commands");
    } else if (this.#replies.length > 0) {
      this.#changed();
    }
  };

  readonly #onEnd = (): void => {
    this.destroy("closed", closedByPeer.reason);
  };

  readonly #onError = (error: Error): void => {
    this.destroy("closed", errorText(error));
  };

  #changed(): void {
    if (this.#awake()) return;
    const notify = this.onUnexpected;
    this.onUnexpected = undefined;
    notify?.();
  }

  /** @returns whether somebody waited */
  #awake(): boolean {
    const wake = this.#wake;
    if (wake === undefined) return false;
    this.#wake = undefined;
    wake();
    return true;
  }

  #change(timeoutMs: number, lateReason: () => string): Promise<void> {
    return new Promise((resolve) => this.#waitForChange(timeoutMs, lateReason, resolve));
  }

  #waitForChange(timeoutMs: number, lateReason: () => string, wake: () => void): void {
    this.#wake = wake;
    this.#lateReason = lateReason;
    this.#lateAtMs = performance.now() + timeoutMs;
    if (this.#timer === undefined) {
      this.#startTimer(timeoutMs);
    } else if (this.#lateAtMs < this.#timerEndsAtMs) {
      clearTimeout(this.#timer);
      this.#startTimer(timeoutMs);
    }
  }

  #startTimer(ms: number): void {
    this.#timerEndsAtMs = performance.now() + ms;
    this.#timer = setTimeout(this.#onTimer, ms).unref();
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    if (this.#wake === undefined) return;
    const leftMs = this.#lateAtMs - performance.now();
    if (leftMs > 0) this.#startTimer(Math.ceil(leftMs));
    else this.destroy("timeout", this.#lateReason?.() ?? "");
  };
}

/** For a log. */
function startOf({ octets }: WholeReply): string {
  return octets
    .toString("latin1", 0, 60)
    .replace(/[^ -~]+/g, " ")
    .trim();
}

function spoken(command: SmtpCommandName): string {
  if (command === "CONNECT") return "the connection (no greeting)";
  return command === "DOT" ? "the end of the message" : command;
}
