/** The dialogue of a queued session (RFC 5321 §4.1): what each command does, and its reply. */
import type net from "node:net";
import type { TLSSocket } from "node:tls";
import { copyText } from "../../../shared/copy-text.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { TlsSummary } from "../../../shared/mail/received.ts";
import type { TraceSpan } from "../../../shared/runtime/tracing.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import type { ClientGreeting } from "../message/record.ts";
import { replies } from "../message/session-replies.ts";
import { AuthReceiver } from "./auth-receiver.ts";
import { splitCommand } from "./command.ts";
import { type Answer, EnvelopeReceiver } from "./envelope-receiver.ts";
import { ErrorBudget } from "./error-budget.ts";
import { MessageReceiver } from "./message-receiver.ts";
import type { LineFault } from "./session-input.ts";
import { SessionLog } from "./session-log.ts";
import type { SessionProfile } from "./session-profile.ts";
import { SessionSocket } from "./session-socket.ts";

/** RFC 5321 §4.5.3.1.2. */
const maxHelo = 255;

export class QueuedSession extends SessionSocket {
  readonly connection: ClientConnection;
  readonly #profile: SessionProfile;
  readonly #sessionLog: SessionLog;
  readonly #budget = new ErrorBudget();
  readonly #auth: AuthReceiver;
  readonly #envelopes: EnvelopeReceiver;
  readonly #messages: MessageReceiver;
  readonly #onClosed: () => void;
  /** Present where the session is in the sample of those that are traced. */
  readonly trace: TraceSpan | undefined;
  #greeting: ClientGreeting = { helo: "", ehlo: false, tls: undefined, user: undefined };

  constructor(
    socket: net.Socket,
    connection: ClientConnection,
    profile: SessionProfile,
    onClosed: () => void,
  ) {
    super(socket, connection, profile);
    this.connection = connection;
    this.#profile = profile;
    this.#onClosed = onClosed;
    this.trace = profile.tracing?.startTrace("session", profile.now(), {
      "postern.session": connection.id,
      "postern.listener": connection.listener,
      "postern.handler": "queue",
    });
    this.#sessionLog = new SessionLog(connection, profile.acceptor.log, profile.metrics, profile.now());
    this.#auth = new AuthReceiver(this, profile, this.#sessionLog, this.#budget);
    this.#envelopes = new EnvelopeReceiver(this, profile, this.#sessionLog, this.#budget);
    this.#messages = new MessageReceiver(this, profile, this.#sessionLog);
  }

  get greeting(): ClientGreeting {
    return this.#greeting;
  }

  get hasTransaction(): boolean {
    return this.inTransaction;
  }

  get expectsResponse(): boolean {
    return this.#auth.isOpen;
  }

  protected override get inTransaction(): boolean {
    return this.#envelopes.transaction !== undefined;
  }

  protected override get isReceivingData(): boolean {
    return this.#messages.isReceiving;
  }

  protected override get isBusy(): boolean {
    return this.#messages.isStoring || this.#envelopes.isAskingServer || this.#auth.isChecking;
  }

  override receiveLine(line: string): void {
    const answer = this.#auth.isOpen ? this.#auth.receiveResponse(line) : this.#execute(line);
    if (answer instanceof Promise) {
      this.#replyLater(answer);
      return;
    }
    if (answer !== undefined) this.reply(answer);
    this.#afterCommand();
  }

  override receiveFault(fault: LineFault): void {
    if (this.#auth.isOpen) this.reply(this.#auth.receiveFault(fault));
    else
      this.reply(this.#budget.countError(fault === "too-long" ? replies.lineTooLong : replies.malformedLine));
    this.#afterCommand();
  }

  override receiveData(chunk: Buffer): number {
    this.clientProgressed();
    return this.#messages.receiveData(chunk);
  }

  inputFailed(error: unknown): void {
    this.#profile.acceptor.log.error(
      { session: this.connection.id, err: error },
      "an unexpected error ended a session",
    );
    this.leave(replies.brokenOff);
  }

  loggedIn(user: string): void {
    this.#greeting = { ...this.#greeting, user };
  }

  /** The reply to the final dot has been given. */
  transactionOver(accepted: boolean): void {
    this.#envelopes.closeTransaction();
    if (accepted) this.#budget.restore();
    this.leaveIfDismissed();
  }

  /** One side has said goodbye: an unfinished transaction is given up. */
  override close(): void {
    super.close();
    this.#auth.abandon();
    this.#reset();
  }

  protected override closed(): void {
    this.#auth.abandon();
    this.#reset();
    this.#sessionLog.closed({
      helo: this.#greeting.helo,
      tls: this.#greeting.tls?.version,
      endedBy: this.endedBy,
      errors: this.#budget.errors,
      nowMs: this.#profile.now(),
    });
    const tls = this.#greeting.tls?.version ?? "none";
    const attributes = { "tls.protocol.version": tls, "postern.errors": this.#budget.errors };
    this.trace?.end(this.#profile.now(), { attributes });
    this.#onClosed();
  }

  /** RFC 3207 §4.2: what was said before the TLS handshake is forgotten. smtp-server calls this after it. */
  override _resetSession(): void {
    this.#reset();
    this.#greeting = { ...this.#greeting, helo: "", ehlo: false };
  }

  /** @returns the reply, unless it was given already */
  #execute(line: string): Answer | undefined {
    const { name, argument } = splitCommand(line);
    switch (name) {
      case "MAIL":
        return this.#envelopes.receiveMail(line);
      case "RCPT":
        return this.#envelopes.receiveRcpt(line);
      case "DATA":
        return this.#startData(argument);
      case "EHLO":
      case "HELO":
        return this.#greet(name, argument);
      case "RSET":
        if (argument !== "") return this.#budget.countError(replies.noArguments);
        this.#reset();
        return this.#budget.countIdleCommand(replies.ok);
      case "QUIT":
        return argument === "" ? this.quit(replies.bye) : this.#budget.countError(replies.noArguments);
      case "STARTTLS":
        return this.#startTls(argument);
      case "AUTH":
        return this.#auth.receiveAuth(argument);
      case "NOOP":
        return this.#budget.countIdleCommand(replies.ok);
      case "HELP":
        return this.#budget.countIdleCommand(replies.help);
      case "VRFY":
        if (argument === "") return this.#budget.countError(replies.argumentNeeded);
        return this.#budget.countIdleCommand(replies.cannotVerify);
      case "not-implemented":
        return this.#budget.countError(replies.notImplemented);
      case "http":
        return this.leave(replies.notHttp);
      case "unknown":
        return this.#budget.countError(replies.unknownCommand);
      default:
        return unreachable(name);
    }
  }

  #greet(verb: "HELO" | "EHLO", argument: string): Reply {
    const isEhlo = verb === "EHLO";
    if (argument === "" || argument.length > maxHelo)
      return this.#budget.countError(isEhlo ? replies.ehloSyntax : replies.heloSyntax);
    // RFC 5321 §4.1.4: it resets the session as RSET does.
    this.#reset();
    const tls = this.#greeting.tls ?? this.#tlsSummary();
    this.#greeting = { ...this.#greeting, helo: copyText(argument), ehlo: isEhlo, tls };
    const { heloReply, ehloReply, ehloReplyOverTls } = this.#profile;
    return this.#budget.countIdleCommand(!isEhlo ? heloReply : this.secure ? ehloReplyOverTls : ehloReply);
  }

  #startData(argument: string): Reply {
    const { transaction } = this.#envelopes;
    if (transaction === undefined) return this.#budget.countError(this.#envelopes.transactionNeeded);
    if (argument !== "") return this.#budget.countError(replies.noArguments);
    // RFC 5321 §3.3, RFC 2920 §3.1: 554 where all recipients were refused.
    if (transaction.recipientCount === 0) {
      const { refusedRecipients } = transaction;
      return this.#budget.countError(refusedRecipients > 0 ? replies.noRecipients : replies.rcptFirst);
    }
    return this.#messages.startMessage(transaction);
  }

  #startTls(argument: string): Reply | undefined {
    if (argument !== "") return this.#budget.countError(replies.noArguments);
    if (this.secure) return this.#budget.countError(replies.tlsActive);
    if (!this.#profile.offersTls) return this.#budget.countError(replies.notImplemented);
    // CVE-2011-0411: commands sent in plaintext behind STARTTLS must not run inside the TLS session.
    if (this.input.hasMore) return this.leave(replies.pipelinedStartTls);
    this.reply(replies.startTls);
    this.flush();
    this.upgrade(() => {});
    return undefined;
  }

  /** Reads no further command before this one is answered. */
  #replyLater(answer: Promise<Reply | undefined>): void {
    // smtp-server drops its parser when the socket closes, which may happen before the answer comes.
    const { input } = this;
    input.wait();
    answer
      .then((reply) => {
        if (reply !== undefined) this.reply(reply);
        this.#afterCommand();
        input.resumeInput();
        this.flush();
      })
      .catch((error: unknown) => this.inputFailed(error));
  }

  /** Gives up the transaction; a message that is being stored goes on. */
  #reset(): void {
    this.#messages.abandon();
    if (this.#messages.isStoring) return;
    this.#envelopes.transaction?.inlineDelivery?.abandon();
    this.#envelopes.closeTransaction();
  }

  /** To be asked while the socket is open: a closed one no longer knows. */
  #tlsSummary(): TlsSummary | undefined {
    if (!this.secure || this.tlsOptions === false) return undefined;
    const { standardName, name } = this.tlsOptions;
    return { version: (this._socket as TLSSocket).getProtocol() ?? "TLS", cipher: standardName ?? name };
  }

  #afterCommand(): void {
    if (this.#budget.isSpent) this.leave(replies.tooManyErrors);
    else this.leaveIfDismissed();
  }
}
