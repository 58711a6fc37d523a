/** The dialogue of a queued session (RFC 5321 §4.1): what each command does, and what is answered. */
import type net from "node:net";
import type { TLSSocket } from "node:tls";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { TlsSummary } from "../../../shared/mail/received.ts";
import { makeReply, type Reply } from "../../../shared/smtp/reply.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import type { InlineSender } from "../inline/inline.ts";
import { originOf } from "../message/accept.ts";
import { type MailCommand, parseMail, parseRcpt } from "../message/envelope-command.ts";
import { replies } from "../message/session-replies.ts";
import { ClientTransaction } from "./client-transaction.ts";
import { splitCommand } from "./command.ts";
import { MessageReceiver } from "./message-receiver.ts";
import { type PassedOn, passOn } from "./pass-on.ts";
import type { LineFault } from "./session-input.ts";
import { SessionLog } from "./session-log.ts";
import type { SessionProfile } from "./session-profile.ts";
import { SessionSocket } from "./session-socket.ts";

/** Bad commands before the session is ended; a message that is accepted sets the counts back. */
const maxErrors = 20;
/** Commands that move no mail (NOOP, RSET, VRFY, …) before each counts as an error. */
const maxIdleCommands = 100;
/** Who is denied that many recipients without having one message accepted is looking for an open relay, or for addresses. */
const maxDenied = 100;
/** RFC 5321 §4.5.3.1.2. */
const maxHelo = 255;

export class QueuedSession extends SessionSocket {
  readonly connection: ClientConnection;
  readonly #profile: SessionProfile;
  readonly #sessionLog: SessionLog;
  readonly #messageReceiver: MessageReceiver;
  readonly #onClosed: (session: QueuedSession) => void;
  #helo = "";
  #isEhlo = false;
  #tls: TlsSummary | undefined;
  #transaction: ClientTransaction | undefined;
  /** A recipient has been passed on to a far server, which has not answered. */
  #asksRemoteServer = false;
  #errors = 0;
  #idleCommands = 0;
  #denied = 0;

  constructor(
    socket: net.Socket,
    connection: ClientConnection,
    profile: SessionProfile,
    onClosed: (session: QueuedSession) => void,
  ) {
    super(socket, connection, profile);
    this.connection = connection;
    this.#profile = profile;
    this.#onClosed = onClosed;
    this.#sessionLog = new SessionLog(connection, profile.acceptor.log, profile.metrics, profile.now());
    this.#messageReceiver = new MessageReceiver(this, profile, this.#sessionLog);
  }

  protected override get inTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  protected override get isBusy(): boolean {
    return this.#messageReceiver.isStoring || this.#asksRemoteServer;
  }

  override receiveLine(line: string): void {
    const answer = this.#obey(line);
    if (answer !== undefined) this.reply(answer);
    this.#afterCommand();
  }

  override receiveFault(fault: LineFault): void {
    this.reply(this.#bad(fault === "too-long" ? replies.lineTooLong : replies.malformedLine));
    this.#afterCommand();
  }

  override receiveData(chunk: Buffer): number {
    return this.#messageReceiver.take(chunk);
  }

  inputFailed(error: unknown): void {
    this.#profile.acceptor.log.error(
      { session: this.connection.id, err: error },
      "a session failed in our hands",
    );
    this.leave(replies.brokenOff);
  }

  transactionOver(accepted: boolean): void {
    this.#transaction = undefined;
    if (accepted) {
      this.#errors = 0;
      this.#idleCommands = 0;
      this.#denied = 0;
    }
    this.leaveIfDismissed();
  }

  /** Said goodbye, or the client did: what it has not finished comes to nothing. */
  override close(): void {
    super.close();
    this.#reset();
  }

  protected override closed(): void {
    this.#reset();
    this.#sessionLog.closed({
      helo: this.#helo,
      tls: this.#tls?.version,
      endedBy: this.endedBy,
      errors: this.#errors,
      nowMs: this.#profile.now(),
    });
    this.#onClosed(this);
  }

  /** RFC 3207 §4.2: what was said before the TLS handshake is forgotten. smtp-server calls this after it. */
  override _resetSession(): void {
    this.#reset();
    this.#helo = "";
    this.#isEhlo = false;
  }

  /** Does what a command says. @returns the answer, where it was not given already */
  #obey(line: string): Reply | undefined {
    const { name, argument } = splitCommand(line);
    switch (name) {
      case "MAIL":
        return this.#mail(line);
      case "RCPT":
        return this.#rcpt(line);
      case "DATA":
        return this.#data(argument);
      case "EHLO":
      case "HELO":
        return this.#hello(name, argument);
      case "RSET":
        if (argument !== "") return this.#bad(replies.noArguments);
        this.#reset();
        return this.#idle(replies.ok);
      case "QUIT":
        return argument === "" ? this.quit(replies.bye) : this.#bad(replies.noArguments);
      case "STARTTLS":
        return this.#startTls(argument);
      case "NOOP":
        return this.#idle(replies.ok);
      case "HELP":
        return this.#idle(replies.help);
      case "VRFY":
        return argument === "" ? this.#bad(replies.argumentNeeded) : this.#idle(replies.cannotVerify);
      case "not-implemented":
        return this.#bad(replies.notImplemented);
      case "http":
        return this.leave(replies.notHttp);
      case "unknown":
        return this.#bad(replies.unknownCommand);
      default:
        return unreachable(name);
    }
  }

  #hello(verb: "HELO" | "EHLO", argument: string): Reply {
    if (argument === "" || argument.length > maxHelo)
      return this.#bad(verb === "EHLO" ? replies.ehloSyntax : replies.heloSyntax);
    // RFC 5321 §4.1.4: it does what RSET does, too.
    this.#reset();
    this.#helo = argument;
    this.#isEhlo = verb === "EHLO";
    this.#tls ??= this.#tlsFacts();
    const { heloReply, ehloReply, ehloReplyOverTls } = this.#profile;
    return this.#idle(verb === "HELO" ? heloReply : this.secure ? ehloReplyOverTls : ehloReply);
  }

  #mail(line: string): Reply | undefined {
    if (this.#helo === "") return this.#bad(replies.heloFirst);
    if (this.#transaction !== undefined) return this.#bad(replies.mailAlready);
    const { maxMessageBytes } = this.#profile.dataLimits;
    const command = parseMail(line, { maxMessageBytes, requireTls: this.secure });
    if (command.kind === "refused") {
      this.#sessionLog.refused("MAIL", command.reply, { helo: this.#helo, what: line });
      return this.#bad(command.reply);
    }
    const admitted = this.#profile.mailLimit?.(this.connection) ?? true;
    if (typeof admitted === "boolean") return this.#begin(command, admitted);
    this.#answerWhen(admitted, (isAdmitted) => (this.isGone ? undefined : this.#begin(command, isAdmitted)));
    return undefined;
  }

  #begin(command: MailCommand, isAdmitted: boolean): Reply {
    if (!isAdmitted) {
      const reply = replies.tooManyMessages;
      this.#sessionLog.refused("MAIL", reply, { helo: this.#helo, from: command.reversePath });
      return this.#bad(reply);
    }
    this.#transaction = new ClientTransaction(command);
    return replies.mailOk;
  }

  #rcpt(line: string): Reply | undefined {
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#bad(this.#missing());
    const { reversePath, smtputf8 } = transaction.envelope;
    const command = parseRcpt(line, smtputf8 === true);
    if (command.kind === "refused") {
      transaction.refusedRecipients++;
      this.#sessionLog.refused("RCPT", command.reply, { helo: this.#helo, from: reversePath, what: line });
      return this.#bad(command.reply);
    }
    const { recipient, sourceRoute } = command;
    const { maxRecipients, routing } = this.#profile;
    if (transaction.has(recipient)) return replies.rcptOk;
    if (transaction.recipientCount >= maxRecipients)
      return this.#refuseRecipient(transaction, recipient.address, replies.tooManyRecipients);
    const decision = routing.classifyRecipient(this.connection, {
      reversePath,
      recipient: recipient.address,
      sourceRoute,
    });
    if (decision.row === "denied") {
      const { code, status, text } = decision.reply;
      this.#denied++;
      return this.#refuseRecipient(transaction, recipient.address, makeReply(code, status, text));
    }
    const taken = { ...recipient, address: decision.address };
    const { inline } = this.#profile;
    const passed = inline && passOn(inline, () => this.#sender(transaction), transaction, taken, decision);
    if (passed === undefined) {
      transaction.add(taken, decision);
      return replies.rcptOk;
    }
    this.#awaitRemoteServer(transaction, taken.address, passed);
    return undefined;
  }

  /** What the far server is told of the client, besides the recipients. */
  #sender({ envelope, declaredOctets }: ClientTransaction): InlineSender {
    const client = { connection: this.connection, helo: this.#helo, ehlo: this.#isEhlo, tls: this.#tls };
    return { envelope, declaredOctets, origin: originOf({ ...client, envelope }) };
  }

  /** The client waits for the far server's answer. */
  #awaitRemoteServer(transaction: ClientTransaction, recipient: string, passed: Promise<PassedOn>): void {
    this.#asksRemoteServer = true;
    this.#answerWhen(passed, (answer) => {
      this.#asksRemoteServer = false;
      return this.#transaction === transaction ? this.#answered(transaction, recipient, answer) : undefined;
    });
  }

  /** Takes no further command before this one is answered. @param answer  `undefined` when the client went away meanwhile */
  #answerWhen<T>(pending: Promise<T>, answer: (value: T) => Reply | undefined): void {
    this.input.wait();
    pending
      .then((value) => {
        const reply = answer(value);
        if (reply !== undefined) this.reply(reply);
        this.#afterCommand();
        this.input.resumeInput();
        this.flush();
      })
      .catch((error: unknown) => this.inputFailed(error));
  }

  #answered(transaction: ClientTransaction, recipient: string, answer: PassedOn): Reply {
    if (answer.kind === "taken") return replies.rcptOk;
    // Who names a hundred in vain guesses addresses.
    this.#denied++;
    return this.#refuseRecipient(transaction, recipient, answer.reply);
  }

  #refuseRecipient(transaction: ClientTransaction, recipient: string, reply: Reply): Reply {
    transaction.refusedRecipients++;
    const from = transaction.envelope.reversePath;
    this.#sessionLog.refused("RCPT", reply, { helo: this.#helo, from, to: [recipient] });
    return reply;
  }

  #data(argument: string): Reply {
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#bad(this.#missing());
    if (argument !== "") return this.#bad(replies.noArguments);
    // RFC 5321 §3.3, RFC 2920 §3.1: 554 where recipients were named and none was good.
    if (transaction.recipientCount === 0)
      return this.#bad(transaction.refusedRecipients > 0 ? replies.noRecipients : replies.rcptFirst);
    return this.#messageReceiver.open({
      transaction,
      helo: this.#helo,
      ehlo: this.#isEhlo,
      tls: this.#tls,
    });
  }

  #startTls(argument: string): Reply | undefined {
    if (argument !== "") return this.#bad(replies.noArguments);
    if (this.secure) return this.#bad(replies.tlsActive);
    if (!this.#profile.offersTls) return this.#bad(replies.notImplemented);
    // CVE-2011-0411: commands sent in plaintext behind STARTTLS must not run inside the TLS session.
    if (this.input.hasMore) return this.leave(replies.pipelinedStartTls);
    this.reply(replies.startTls);
    this.flush();
    this.upgrade(() => {});
    return undefined;
  }

  /** Gives up the transaction; a message that is being stored goes on. */
  #reset(): void {
    this.#messageReceiver.abandon();
    if (!this.#messageReceiver.isStoring) this.#transaction?.inlineDelivery?.abandon();
    this.#transaction = undefined;
  }

  /** To be asked while the socket is open: a closed one has forgotten. */
  #tlsFacts(): TlsSummary | undefined {
    if (!this.secure || this.tlsOptions === false) return undefined;
    const { standardName, name } = this.tlsOptions;
    return { version: (this._socket as TLSSocket).getProtocol() ?? "TLS", cipher: standardName ?? name };
  }

  /** What a command came too early for. */
  #missing(): Reply {
    return this.#helo === "" ? replies.heloFirst : replies.mailFirst;
  }

  /** A command that is refused for what it is, not for whom it names. */
  #bad(reply: Reply): Reply {
    this.#errors++;
    return reply;
  }

  /** A command that moves no mail. */
  #idle(reply: Reply): Reply {
    this.#idleCommands++;
    return this.#idleCommands > maxIdleCommands ? this.#bad(reply) : reply;
  }

  #afterCommand(): void {
    if (this.#errors >= maxErrors || this.#denied >= maxDenied) this.leave(replies.tooManyErrors);
    else this.leaveIfDismissed();
  }
}
