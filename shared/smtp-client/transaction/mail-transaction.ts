/**
 * One mail transaction in an open session (RFC 5321 §3.3), step by step. It alone knows the commands, what each reply
 * means and whether the session may be used again; send-stored.ts and inline-transaction.ts decide when each step comes.
 */
import type { Envelope, Recipient } from "../../mail/envelope.ts";
import type { Failure } from "../../smtp/diagnose.ts";
import type { Outcome } from "../../smtp/diagnosis.ts";
import { DotStuffer } from "../../smtp/dot-stuffing.ts";
import { isPositive, type SmtpReply } from "../../smtp/status.ts";
import type { Heard } from "../session/connection.ts";
import type { Session, Timeouts } from "../session/session.ts";
import { type MessageTraits, mailCommand, rcptCommand } from "./mail-commands.ts";
import {
  isSessionEnd,
  isTooManyRecipients,
  readStep,
  type SessionEnd,
  type Step,
  type StepResult,
  steps,
} from "./step.ts";

/** How a session went through one transaction, for the attempt that owns it. */
export interface TransactionReport {
  /** One for each recipient. */
  outcomes: Map<number, Outcome>;
  /** Recipients too many for this transaction, to be given another one in this session. A subset of `outcomes`. */
  tooMany: number[];
  /** Whether the session takes another transaction. */
  isReusable: boolean;
  /** The session ended before MAIL was answered: nothing happened in it. */
  isUntouched: boolean;
  /** No other host is to be asked, whatever the outcome: inline delivery, once a server has accepted MAIL. */
  isConcluded?: true;
}

export type StepTimeouts = Pick<Timeouts, "mail" | "rcpt" | "data" | "body" | "dot">;

export interface MailTransactionOptions {
  /** Its recipients are ignored. */
  envelope: Envelope;
  traits: MessageTraits;
  timeouts: StepTimeouts;
  now: () => number;
}

export type RecipientResult =
  | { kind: "accepted"; reply: SmtpReply }
  /** `tooMany`: a further transaction may have room for this one. */
  | { kind: "refused"; outcome: Failure; tooMany: boolean }
  | SessionEnd;

type State =
  /** Nothing has been said. */
  | "new"
  /** Begun: the server must forget it (RSET), unless it is carried out. */
  | "open"
  /** In the middle of the message: the server takes all octets as part of it. */
  | "data"
  /** Carried out or reset. */
  | "closed"
  /** The session is of no more use. */
  | "ended";

export class MailTransaction {
  readonly #session: Session;
  readonly #options: MailTransactionOptions;
  #state: State = "new";
  /** Commands that were written together with MAIL and have no reply yet. */
  readonly #unanswered: ("rcpt" | "data")[] = [];
  readonly #stuffer = new DotStuffer();
  /** What has to be sent before the message. */
  #prefix: Buffer | undefined;
  #acceptedRecipients = 0;
  #isUntouched = false;
  /** 354 answers nothing but DATA: the replies before it answered the commands before. */
  #isProvenInStep = false;
  #isOutOfStep = false;

  constructor(session: Session, options: MailTransactionOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** Whether the session takes another transaction; to be asked after reset(). */
  get isReusable(): boolean {
    return this.#state !== "ended" && this.#session.connection.isInStep;
  }

  /** The session ended before MAIL was answered: nothing happened in it. */
  get isUntouched(): boolean {
    return this.#isUntouched;
  }

  /** The replies before the message did not fit the commands: what they said may have been about another recipient. */
  get isOutOfStep(): boolean {
    return this.#isOutOfStep;
  }

  /** Whether the server has spoken or gone although no reply is due. */
  get isInterrupted(): boolean {
    const { connection } = this.#session;
    return connection.hasReply || connection.disconnectReason !== undefined;
  }

  /**
   * Begins the transaction.
   * @param next  commands that follow whatever the reply is: written together with MAIL where the server takes them so
   */
  async mail(next: { recipients: readonly Recipient[]; data: boolean }): Promise<StepResult> {
    const { extensions, remote } = this.#session;
    const { envelope, traits, now } = this.#options;
    this.#state = "open";
    this.#session.transactions++;
    let commands = mailCommand(envelope, traits, extensions);
    if (extensions.pipelining) {
      for (const recipient of next.recipients) {
        commands += rcptCommand(recipient, extensions);
        this.#unanswered.push("rcpt");
      }
      // RFC 2920 §3.1: DATA ends the group.
      if (next.data) {
        commands += "DATA\r\n";
        this.#unanswered.push("data");
      }
    }
    this.#say(commands);
    const heard = await this.#hear("mail");
    this.#isUntouched = isSessionEnd(heard);
    return this.#note(readStep("mail", heard, remote, now()));
  }

  async rcpt(recipient: Recipient): Promise<RecipientResult> {
    const result = await this.#command("rcpt", () => rcptCommand(recipient, this.#session.extensions));
    switch (result.kind) {
      case "accepted":
        this.#acceptedRecipients++;
        return result;
      case "refused": {
        const tooMany = this.#acceptedRecipients > 0 && isTooManyRecipients(result.reply);
        return { kind: "refused", outcome: result.outcome, tooMany };
      }
      case "ended":
        return result;
    }
  }

  /** @param prefix  our Received field, or nothing: lines that go out as they are, before the message */
  async data(prefix: Buffer): Promise<StepResult> {
    const result = await this.#command("data", () => "DATA\r\n");
    if (result.kind !== "accepted") return result;
    this.#state = "data";
    this.#prefix = prefix.length === 0 ? undefined : prefix;
    return result;
  }

  /**
   * Sends octets of the message, after data(), in one write.
   * @returns false when the server spoke or left before the end; interruption() says what that means
   */
  send(octets: readonly Buffer[]): Promise<boolean> | boolean {
    return this.#send(this.#wireOf(octets));
  }

  /**
   * Sends the last octets of the message and the final dot, in one write.
   * @returns the outcome of every recipient that was accepted
   */
  async dot(octets: readonly Buffer[]): Promise<Outcome> {
    const wire = this.#wireOf(octets);
    wire.push(Buffer.from(this.#stuffer.end(), "latin1"));
    // While octets wait here the dot behind them has not left either: a lost connection has delivered nothing.
    const isSent = this.#send(wire);
    if (isSent !== true && !(await isSent)) return this.interruption();
    this.#state = "open";
    this.#session.isAwaitingDot = true;
    const result = await this.#read("dot");
    this.#session.isAwaitingDot = false;
    if (result.kind !== "accepted") return result.outcome;
    this.#state = "closed";
    const { remote, extensions } = this.#session;
    return { kind: "delivered", reply: result.reply, remote, dsnPassedOn: extensions.dsn };
  }

  /** Ends the session for what the server said, or because it left, although no reply was due. */
  async interruption(): Promise<Failure> {
    const { outcome } = await this.#readUnasked(this.#state === "data" ? "body" : "between");
    return outcome;
  }

  /**
   * Leaves nothing in the server of a transaction that was not carried out (RFC 5321 §4.1.1.5). In the middle of a
   * message it closes the connection, so that the server cannot take a part for the whole.
   */
  async reset(): Promise<void> {
    if (this.#state === "data") this.#cut();
    if (this.#state === "open") await this.#readUnanswered();
    if (this.#state !== "open") return;
    const { connection } = this.#session;
    connection.command("RSET\r\n");
    const heard = await connection.hear("RSET", this.#options.timeouts.mail);
    this.#state = heard.kind === "reply" && isPositive(heard.reply) ? "closed" : "ended";
    if (isStale(heard) || connection.hasStaleReply) this.#noteOutOfStep();
  }

  #wireOf(octets: readonly Buffer[]): Buffer[] {
    const wire = this.#prefix === undefined ? [] : [this.#prefix];
    this.#prefix = undefined;
    for (const chunk of octets) wire.push(this.#stuffer.stuff(chunk));
    return wire;
  }

  #send(wire: readonly Buffer[]): Promise<boolean> | boolean {
    if (this.isInterrupted) return false;
    const [first] = wire;
    const octets = wire.length === 1 && first ? first : Buffer.concat(wire);
    return this.#session.connection.write(octets) || this.#drained();
  }

  async #drained(): Promise<boolean> {
    await this.#session.connection.drained(this.#options.timeouts.body);
    return !this.isInterrupted;
  }

  /** RFC 2920 §3.1: after a refusal the replies to the rest of the group come all the same. */
  async #readUnanswered(): Promise<void> {
    let acceptsRecipient = false;
    for (let step = this.#unanswered.shift(); step !== undefined; step = this.#unanswered.shift()) {
      const result = await this.#read(step);
      if (result.kind === "ended") return;
      if (result.kind === "refused") continue;
      if (step === "rcpt") acceptsRecipient = true;
      else if (acceptsRecipient) return this.#cut();
      else await this.#endEmptyMessage();
    }
  }

  /** A server that wants data although it accepted no recipient gets none; one that accepted one would deliver it. */
  async #endEmptyMessage(): Promise<void> {
    this.#session.connection.write(".\r\n");
    await this.#read("dot");
  }

  #cut(): void {
    this.#state = "ended";
    this.#session.connection.destroy("aborted", "the message was not sent to its end");
  }

  /** Writes the command, unless that was done with MAIL, and reads the reply. */
  #command(step: "rcpt" | "data", command: () => string): Promise<StepResult> {
    if (this.#unanswered.length > 0) {
      this.#unanswered.shift();
      return this.#read(step);
    }
    this.#say(command());
    return this.#read(step);
  }

  #say(commands: string): void {
    // ASCII is written faster as latin1.
    this.#session.connection.command(commands, this.#options.traits.needsSmtpUtf8 ? "utf8" : "latin1");
  }

  async #read(step: Step): Promise<StepResult> {
    const result = readStep(step, await this.#hear(step), this.#session.remote, this.#options.now());
    if (step === "data" && result.kind === "accepted") this.#isProvenInStep = true;
    return this.#note(result);
  }

  async #readUnasked(step: "between" | "body"): Promise<SessionEnd> {
    return this.#note(readStep(step, await this.#hear(step), this.#session.remote, this.#options.now()));
  }

  #hear(step: Step): Promise<Heard> {
    const { command, timeout } = steps[step];
    return this.#session.connection.hear(command, this.#options.timeouts[timeout]);
  }

  #note<R extends StepResult>(result: R): R {
    if (result.kind !== "ended") return result;
    if (result.isOutOfStep === true) this.#noteOutOfStep();
    if (this.#state === "data") this.#cut();
    this.#state = "ended";
    return result;
  }

  #noteOutOfStep(): void {
    if (!this.#isProvenInStep) this.#isOutOfStep = true;
  }
}

/** Of what came in reply to RSET: it answers an earlier command, as the 354 of a DATA that seemed to be refused does. */
function isStale(heard: Heard): boolean {
  if (heard.kind === "lost") return heard.disconnectReason.kind === "malformed";
  return heard.reply.code < 400 && !isPositive(heard.reply);
}
