/**
 * The socket side of a queued session: greeting, replies, time-outs, STARTTLS, the end. Owns the socket from init() on.
 * smtp-server's SMTPConnection does the connection's part (TLS upgrade, half-close, errors); the dialogue, its parser and
 * its replies are ours. The members with an underscore are smtp-server's own: package.json pins its version.
 */
import type net from "node:net";
import { SMTPConnection } from "smtp-server/lib/smtp-connection";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { replies } from "../message/session-replies.ts";
import { type InputConsumer, type LineFault, SessionInput } from "./session-input.ts";
import type { SessionProfile } from "./session-profile.ts";

/** How long the last reply of a session that is cut may take to leave. */
const cutMs = 1000;

export abstract class SessionSocket extends SMTPConnection implements InputConsumer {
  readonly toleratesBareNewline: boolean;
  readonly #profile: SessionProfile;
  /** Replies that wait for the end of the current input: one write answers a whole pipeline. */
  #out = "";
  #deadline: NodeJS.Timeout | undefined;
  /** Until the next whole command, or the next data. */
  #clientTimer: NodeJS.Timeout | undefined;
  #greetingTimer: NodeJS.Timeout | undefined;
  #cutTimer: NodeJS.Timeout | undefined;
  /** The session ends with this reply as soon as no transaction is open. */
  #dismissal: Reply | undefined;
  /** Of the code that accepted the socket. */
  #foreignCloseListeners: (() => void)[] = [];
  /** Why the session ended, for the log. */
  protected endedBy = "client";

  constructor(socket: net.Socket, connection: ClientConnection, profile: SessionProfile) {
    const { client, destination } = connection;
    super(profile.server, socket, {
      id: connection.id,
      remoteAddress: client.address,
      remotePort: client.port,
      localAddress: destination.address,
      localPort: destination.port,
    });
    this.#profile = profile;
    this.toleratesBareNewline = profile.toleratesBareNewline;
  }

  abstract receiveLine(line: string): void;
  abstract receiveFault(fault: LineFault): void;
  abstract receiveData(chunk: Buffer): number;
  abstract inputFailed(error: unknown): void;
  abstract readonly expectsResponse: boolean;
  /** From MAIL to the reply to the final dot. */
  protected abstract get inTransaction(): boolean;
  /** Between DATA and the final dot. */
  protected abstract get isReceivingData(): boolean;
  /** The client waits for us: it may be silent for longer than `timeouts.client`. */
  protected abstract get isBusy(): boolean;
  /** The socket is gone; called once. */
  protected abstract closed(): void;

  get input(): SessionInput {
    return this._parser as SessionInput;
  }

  get isGone(): boolean {
    return this._closed;
  }

  /** Starts the session and greets at once; smtp-server would wait 100 ms and look the client's name up. */
  override init(): void {
    this.#foreignCloseListeners = this._socket.listeners("close") as (() => void)[];
    this._setListeners(() => {
      const { sessionTimeoutMs, earlyTalkerMs } = this.#profile;
      if (sessionTimeoutMs > 0) this.#deadline = setTimeout(() => this.#sessionTimedOut(), sessionTimeoutMs);
      if (earlyTalkerMs > 0) this.#waitForEarlyTalk(earlyTalkerMs);
      else this.#greet();
    });
  }

  /** Ends the session with this reply: now, or when the open transaction is over. */
  endWhenIdle(reply: Reply): void {
    if (this.inTransaction) this.#dismissal = reply;
    else this.leave(reply);
  }

  /** Ends the session at once, with this reply unless another one is still to be given. */
  cut(reply: Reply): void {
    if (!this.isBusy) this.leave(reply);
    this._socket.destroySoon();
    // destroySoon() waits for a client that does not read.
    this.#cutTimer ??= setTimeout(() => this._socket.destroy(), cutMs);
  }

  inputUsedUp(): void {
    this.flush();
  }

  /** The client closed its side; all its commands have been answered. */
  inputEnded(): void {
    this.flush();
    this.close();
  }

  reply(reply: Reply): void {
    this.#out += reply.wire;
  }

  flush(): void {
    if (this.#out === "") return;
    const out = this.#out;
    this.#out = "";
    const socket = this._socket;
    // While a TLS handshake runs, anything written would be plaintext in the middle of it.
    if (this._upgrading || !socket.writable) return;
    // A whole command has come. Octets of one that never ends do not count.
    this.clientProgressed();
    if (socket.write(out, "latin1") || this._closing) return;
    // A client that does not read its replies is not read either.
    const input = this.input;
    input.wait();
    socket.once("drain", () => {
      input.resumeInput();
      this.flush();
    });
  }

  /** The client has as long again for its next command or data. */
  protected clientProgressed(): void {
    if (!this._closed) this.#clientTimer?.refresh();
  }

  /** Sends this reply and closes. @returns undefined: there is no other reply */
  leave(reply: Reply): undefined {
    if (this._closing || this._closed) return undefined;
    this.endedBy = `${reply.code} ${reply.enhanced ?? ""}`.trim();
    this.reply(reply);
    this.flush();
    this.close();
    return undefined;
  }

  /** As leave(), for a client that said QUIT: does not wait until it has closed its side too. */
  protected quit(reply: Reply): undefined {
    this.leave(reply);
    this._socket.destroySoon();
    return undefined;
  }

  /** Ends the session if it is to end, and no transaction is open any more. */
  protected leaveIfDismissed(): void {
    if (this.#dismissal !== undefined && !this.inTransaction) this.leave(this.#dismissal);
  }

  override _createParser(): SessionInput {
    return new SessionInput(this);
  }

  override _armTimeout(socket: net.Socket = this._socket): void {
    // Not the socket's own time-out, which any octet would put off.
    this.#clientTimer ??= setTimeout(() => this._onTimeout(), this.#profile.clientTimeoutMs);
    this.clientProgressed();
    // A TLS handshake has begun. Half-open sockets stay open when the client leaves; here there is no reply to wait for.
    if (socket !== this._socket) socket.once("end", () => socket !== this._socket && socket.destroy());
  }

  override _onTimeout(): void {
    if (this._closing) this._socket.destroy();
    else if (this.isBusy) this._armTimeout();
    else this.leave(replies.idle);
  }

  override _onError(error: Error & { code?: string }): void {
    // After the last reply many clients reset the connection in place of closing it.
    if (!this._closing) this.endedBy = error.code ?? error.message;
    this._socket.destroy();
  }

  override _onClose(): void {
    const first = !this._closed;
    clearTimeout(this.#deadline);
    clearTimeout(this.#clientTimer);
    clearTimeout(this.#greetingTimer);
    clearTimeout(this.#cutTimer);
    super._onClose();
    if (first) this.closed();
  }

  /** smtp-server removes all listeners from the socket; those that were there before it still count connections. */
  override upgrade(callback: () => void, secureCallback?: () => void): void {
    const socket = this._socket;
    super.upgrade(callback, secureCallback);
    for (const listener of this.#foreignCloseListeners) socket.on("close", listener);
  }

  /** An open transaction may finish: its commands within `timeouts.client`, its data within `timeouts.session`. */
  #sessionTimedOut(): void {
    this.endWhenIdle(replies.sessionTooLong);
    this.#deadline = setTimeout(() => this.#commandsTimedOut(), this.#profile.clientTimeoutMs);
  }

  #commandsTimedOut(): void {
    const { clientTimeoutMs, sessionTimeoutMs } = this.#profile;
    if (this.isReceivingData) {
      // What is being stored then gets its reply, and the session ends with it.
      this.#deadline = setTimeout(() => !this.isBusy && this.leave(replies.sessionTooLong), sessionTimeoutMs);
    } else if (this.isBusy) this.#deadline = setTimeout(() => this.#commandsTimedOut(), clientTimeoutMs);
    else this.leave(replies.sessionTooLong);
  }

  #greet(): void {
    this.reply(this.#profile.greeting);
    this.flush();
  }

  /** RFC 5321 §4.3.1: a client waits for the greeting. Programs that do not are not mail servers. */
  #waitForEarlyTalk(delayMs: number): void {
    const input = this.input;
    input.wait();
    this.#greetingTimer = setTimeout(() => {
      if (input.hasMore) {
        this.leave(replies.earlyTalker);
      } else {
        this.#greet();
        input.resumeInput();
      }
    }, delayMs);
  }
}
