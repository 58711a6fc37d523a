/**
 * A mail transaction that grows as a client speaks: each recipient is passed on and answered, the data goes out while it
 * comes in. It owns nothing: the attempt that conducts it owns the session, and this tells the attempt when to let go.
 */
import { isAscii } from "node:buffer";
import { type Envelope, mustHaveTls, type Recipient } from "../../mail/envelope.ts";
import { deferRefusal, deferred, type Failure, rejected, remoteName } from "../../smtp/diagnose.ts";
import type { Diagnosis, Outcome } from "../../smtp/diagnosis.ts";
import { DotStuffer } from "../../smtp/dot-stuffing.ts";
import { stopped } from "../next-hops/delivery-addresses.ts";
import type { SmtpConnection } from "../session/connection.ts";
import { outcomeOfDisconnect, seconds } from "../session/disconnect-reason.ts";
import { isPositive, type Session, type TlsResult } from "../session/session.ts";
import { mailCommand, needsSmtpUtf8, rcptCommand, unfitFor } from "./mail-commands.ts";
import {
  isOver,
  isTooMany,
  outcomeOfEnd,
  outcomeOfReply,
  type TransactionReport,
} from "./mail-transaction.ts";

/** What the far server says of one recipient while the client waits. */
export type RecipientAnswer =
  | { kind: "accepted" }
  | { kind: "rejected"; diagnosis: Diagnosis }
  /** It cannot tell now, or it said nothing in time: the queue's turn. */
  | { kind: "deferred"; diagnosis: Diagnosis };

/** What became of all recipients that were accepted. */
export interface InlineEnd {
  outcome: Outcome;
  /** Of the session; absent in clear text, and where there was no session. */
  tls?: TlsResult;
}

export interface InlineTransactionOptions {
  /** MAIL's part of it; its recipients are not looked at. */
  envelope: Envelope;
  /** What the client said that the message has, and what we add; absent where it said nothing. */
  declaredOctets: number | undefined;
  /** The next hop's name, for the log. */
  destination: string;
  /** For each thing that the client waits for, and for each thing that is waited for from the client. */
  stepMs: number;
  /** For the reply to the final dot: to give up early there makes a second copy (RFC 1047). */
  dotMs: number;
  now: () => number;
}

/** Octets that may wait for the far server before the client has to. */
const highWaterOctets = 256 * 1024;
/** A client that dawdles must not keep a server's connection from others: so many steps, and this pace. */
const patienceSteps = 6;
const minOctetsPerSecond = 16 * 1024;

export class InlineTransaction {
  readonly #options: InlineTransactionOptions;
  readonly #controller = new AbortController();
  readonly #ended: Promise<InlineEnd>;
  #settleEnd: (end: InlineEnd) => void = () => {};
  #end: InlineEnd | undefined;
  #asked: { recipient: Recipient; answer(answer: RecipientAnswer): void } | undefined;
  /** What comes before the message; undefined until the client has said DATA. */
  #prefix: Buffer | undefined;
  #chunks: Buffer[] = [];
  #queuedOctets = 0;
  /** The client's final dot has come. */
  #isWhole = false;
  #isAbandoned = false;
  /** Waits for the client between two commands. */
  #isBetween = false;
  #wake: (() => void) | undefined;
  #roomMade: (() => void) | undefined;
  /** A server has taken MAIL. */
  #hasBegun = false;
  #begunAtMs = 0;

  constructor(options: InlineTransactionOptions) {
    this.#options = options;
    this.#ended = new Promise((resolve) => {
      this.#settleEnd = resolve;
    });
  }

  /** Aborted when the attempt is to end at once. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether a server has been reached and has taken MAIL. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** It can come to nothing any more: what is written is not sent. */
  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** Passes a recipient on; one at a time. Answers within `stepMs`, never rejects. */
  recipient(recipient: Recipient): Promise<RecipientAnswer> {
    if (this.#end !== undefined) return Promise.resolve(answerOf(this.#end.outcome));
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#tooSlow(), this.#options.stepMs);
      this.#asked = {
        recipient,
        answer: (answer) => {
          clearTimeout(timer);
          this.#asked = undefined;
          resolve(answer);
        },
      };
      this.#wake?.();
    });
  }

  /** No more recipients: the message follows. @param prefix  what comes before it: our Received field, or nothing */
  startData(prefix: Buffer): void {
    this.#prefix = prefix;
    this.#wake?.();
  }

  /** The next octets of the message, dot-unstuffed. @returns a promise, which never rejects, to wait for before the next */
  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#end !== undefined) return undefined;
    this.#chunks.push(chunk);
    this.#queuedOctets += chunk.length;
    this.#wake?.();
    if (this.#queuedOctets <= highWaterOctets) return undefined;
    return new Promise((resolve) => {
      this.#roomMade = resolve;
    });
  }

  /** The message is whole. @returns what it came to; never rejects */
  finish(): Promise<InlineEnd> {
    this.#isWhole = true;
    this.#wake?.();
    return this.#ended;
  }

  /** The client has changed its mind, or the message must not arrive. */
  abandon(): void {
    if (this.#end !== undefined) return;
    this.#isAbandoned = true;
    // Between commands the session is in order and may stay; in all other states it must end.
    if (this.#isBetween) this.#wake?.();
    else this.#controller.abort();
  }

  /** The attempt is over: its outcome stands where the transaction itself did not come to an end. */
  attemptEnded(outcome: Outcome): void {
    this.#conclude({ outcome });
  }

  /** With an open session: all that is said in it. Comes again, with the next host, when this one would not take MAIL. */
  async drive(session: Session): Promise<TransactionReport> {
    const { connection, extensions, remote } = session;
    const { now, stepMs } = this.#options;
    const recipient = this.#asked?.recipient;
    if (recipient === undefined)
      return this.#report(stopped(now()), connection.disconnectReason === undefined);
    const unfit = this.#unfit(session, recipient);
    if (unfit !== undefined) return report(unfit, true);

    session.transactions++;
    const mail = this.#mailCommand(session);
    const { pipelining } = extensions;
    connection.write(pipelining ? mail + rcptCommand(recipient, extensions) : mail);
    const heard = await connection.hear("MAIL", stepMs);
    if (isOver(heard)) {
      return {
        ...report(outcomeOfEnd(heard, remote, "while sending MAIL FROM", now()), false),
        untouched: true,
      };
    }
    if (!isPositive(heard.reply)) {
      const outcome = outcomeOfReply(heard.reply, remote, now());
      // A refusal for good is the client's answer; after any other the next host is asked.
      if (outcome.kind === "rejected") this.#conclude({ outcome });
      if (pipelining) await connection.hear("RCPT", stepMs);
      return report(outcome, await this.#reset(connection));
    }
    this.#hasBegun = true;
    this.#begunAtMs = now();
    return this.#goOn(session, !pipelining);
  }

  /** After MAIL. @param unsaid  the first RCPT has not been written yet */
  async #goOn(session: Session, unsaid: boolean): Promise<TransactionReport> {
    const { connection, extensions, remote } = session;
    const { now, stepMs } = this.#options;
    let isWritten = !unsaid;
    for (;;) {
      const next = await this.#nextRequest(connection);
      switch (next) {
        case "recipient": {
          const recipient = this.#asked?.recipient;
          if (!isWritten && recipient !== undefined) connection.write(rcptCommand(recipient, extensions));
          isWritten = false;
          const heard = await connection.hear("RCPT", stepMs);
          if (isOver(heard)) {
            return this.#report(outcomeOfEnd(heard, remote, "while sending RCPT TO", now()), false);
          }
          const outcome = outcomeOfReply(heard.reply, remote, now());
          if (isPositive(heard.reply)) this.#asked?.answer({ kind: "accepted" });
          else if (heard.reply.code < 400) return this.#report(outcome, false);
          // RFC 5321 §4.5.3.1.10: 552 too is temporary then.
          else if (isTooMany(heard.reply, true))
            this.#asked?.answer(deferRefusal(heard.reply, remote, now()));
          else this.#asked?.answer(outcome);
          break;
        }
        case "data":
          return this.#data(session);
        case "server-left": {
          const heard = await connection.hear("RCPT", stepMs);
          if (isOver(heard)) {
            return this.#report(outcomeOfEnd(heard, remote, "between two commands", now()), false);
          }
          return this.#report(outcomeOfReply(heard.reply, remote, now()), false);
        }
        case "abandoned":
          this.#conclude({ outcome: stopped(now()) });
          return this.#report(stopped(now()), await this.#reset(connection));
        case "dawdles": {
          const outcome = this.#dawdled();
          this.#conclude({ outcome });
          return this.#report(outcome, await this.#reset(connection));
        }
      }
    }
  }

  async #nextRequest(
    connection: SmtpConnection,
  ): Promise<"recipient" | "data" | "server-left" | "abandoned" | "dawdles"> {
    for (;;) {
      if (this.#asked !== undefined) return "recipient";
      if (this.#isAbandoned) return "abandoned";
      if (connection.hasReply || connection.disconnectReason !== undefined) return "server-left";
      if (this.#prefix !== undefined) return "data";
      this.#isBetween = true;
      const isWoken = await this.#woken(connection);
      this.#isBetween = false;
      if (!isWoken || this.#isOverdue(0)) return "dawdles";
    }
  }

  async #data(session: Session): Promise<TransactionReport> {
    const { connection, extensions, remote, tls } = session;
    const { now, stepMs, dotMs } = this.#options;
    connection.write("DATA\r\n");
    const answer = await connection.hear("DATA", stepMs);
    if (isOver(answer)) return this.#report(outcomeOfEnd(answer, remote, "while sending DATA", now()), false);
    if (answer.reply.code !== 354) {
      const outcome = outcomeOfReply(answer.reply, remote, now());
      this.#conclude({ outcome });
      return this.#report(outcome, await this.#reset(connection));
    }
    const unsent = await this.#send(session);
    if (unsent !== undefined) {
      this.#conclude({ outcome: unsent });
      connection.destroy("aborted", "the message was not sent to its end");
      return this.#report(unsent, false);
    }
    const heard = await connection.hear("DOT", dotMs);
    if (heard.kind === "lost") {
      const outcome = outcomeOfDisconnect(
        heard.disconnectReason,
        remote,
        "after sending the whole message",
        now(),
      );
      // RFC 5321 §4.5.4.1, RFC 1047: it may have arrived; the queue may make a second copy of it.
      outcome.diagnosis.possiblyDelivered = true;
      return this.#report(outcome, false);
    }
    const { reply } = heard;
    const outcome: Outcome = isPositive(reply)
      ? { kind: "delivered", reply, remote, dsnPassedOn: extensions.dsn }
      : outcomeOfReply(reply, remote, now());
    this.#conclude(tls === undefined ? { outcome } : { outcome, tls });
    return this.#report(outcome, isPositive(reply) || (reply.code >= 400 && reply.code !== 421));
  }

  /** Sends what comes until it is whole. @returns why the final dot was not sent; undefined when it was */
  async #send(session: Session): Promise<Failure | undefined> {
    const { connection, remote } = session;
    const { stepMs, now } = this.#options;
    const stuffer = new DotStuffer();
    let next: Buffer[] = this.#prefix === undefined || this.#prefix.length === 0 ? [] : [this.#prefix];
    let octets = this.#prefix?.length ?? 0;
    const { maxOctets, eightBitMime, smtpUtf8 } = session.extensions;
    // Most servers take all that comes: nothing is looked at for them.
    const mayBeUnfit = maxOctets !== undefined || !(eightBitMime || smtpUtf8);
    let has8bit = false;
    for (;;) {
      for (const chunk of this.#takeChunks()) {
        octets += chunk.length;
        has8bit ||= mayBeUnfit && !isAscii(chunk);
        next.push(stuffer.stuff(chunk));
      }
      const unfit = mayBeUnfit ? this.#unfitData(session, octets, has8bit) : undefined;
      if (unfit !== undefined) return unfit;
      const isLast = this.#isWhole;
      if (isLast) next.push(Buffer.from(stuffer.end(), "latin1"));
      if (connection.hasReply || connection.disconnectReason !== undefined) return this.#interrupted(session);
      if (
        next.length > 0 &&
        !connection.write(next.length === 1 && next[0] ? next[0] : Buffer.concat(next))
      ) {
        // While octets wait here, the dot behind them has not left either: a loss now cannot have delivered anything.
        await connection.drained(stepMs);
        if (connection.hasReply || connection.disconnectReason !== undefined)
          return this.#interrupted(session);
      }
      if (isLast) return undefined;
      next = [];
      if (this.#chunks.length > 0 || this.#isWhole) continue;
      this.#makeRoom();
      if (!(await this.#woken(connection)) || this.#isOverdue(octets)) return this.#dawdled();
      if (this.#isAbandoned) return outcomeOfDisconnect({ kind: "aborted", reason: "" }, remote, "", now());
    }
  }

  /** What the far server said, or how it went, before the message was whole. */
  async #interrupted({ connection, remote }: Session): Promise<Failure> {
    const { stepMs, now } = this.#options;
    const heard = await connection.hear("DOT", stepMs);
    if (isOver(heard)) return outcomeOfEnd(heard, remote, "while sending the message", now());
    return outcomeOfReply(heard.reply, remote, now());
  }

  #takeChunks(): Buffer[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#queuedOctets = 0;
    return chunks;
  }

  #makeRoom(): void {
    const tell = this.#roomMade;
    this.#roomMade = undefined;
    tell?.();
  }

  /** Whether this server cannot have this message: another host may. Where only the data can tell, the queue decides. */
  #unfit({ extensions, remote }: Session, recipient: Recipient): Failure | undefined {
    const { envelope, declaredOctets = 0, now } = this.#options;
    const needsUtf8 = needsSmtpUtf8({ ...envelope, smtputf8: false }, [recipient], false);
    const traits = { octets: declaredOctets, has8bit: false, needsSmtpUtf8: needsUtf8 };
    const unfit = unfitFor(envelope, traits, extensions);
    if (unfit !== undefined) {
      return rejected("5xx", unfit.status, `${remoteName(remote)}: ${unfit.reason}`, now(), remote);
    }
    if (mustHaveTls(envelope) || (envelope.smtputf8 === true && !extensions.smtpUtf8)) {
      const reason = `${remoteName(remote)}: whether it can have the message is known only when the message is whole`;
      return deferred("local", "4.3.0", reason, now(), remote);
    }
    return undefined;
  }

  #unfitData({ extensions, remote }: Session, octets: number, has8bit: boolean): Failure | undefined {
    const { envelope, now } = this.#options;
    const unfit = unfitFor(envelope, { octets, has8bit, needsSmtpUtf8: false }, extensions);
    if (unfit === undefined) return undefined;
    return rejected("5xx", unfit.status, `${remoteName(remote)}: ${unfit.reason}`, now(), remote);
  }

  #mailCommand({ extensions }: Session): string {
    const { envelope, declaredOctets } = this.#options;
    // The header is not known yet: who asked for SMTPUTF8 gets it.
    const traits = {
      octets: declaredOctets ?? 0,
      has8bit: false,
      needsSmtpUtf8: envelope.smtputf8 === true,
    };
    const offered = declaredOctets === undefined ? { ...extensions, size: false } : extensions;
    return mailCommand(envelope, traits, offered);
  }

  /** RFC 5321 §4.1.1.5: what was begun and not carried out is forgotten. @returns whether the session may be used again */
  async #reset(connection: SmtpConnection): Promise<boolean> {
    connection.write("RSET\r\n");
    const heard = await connection.hear("RSET", this.#options.stepMs);
    return heard.kind === "reply" && isPositive(heard.reply);
  }

  /** Waits until the client or the server does something. @returns false when neither did */
  #woken(connection: SmtpConnection): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isWoken: boolean) => {
        clearTimeout(timer);
        this.#wake = undefined;
        connection.onUnexpected = undefined;
        resolve(isWoken);
      };
      const timer = setTimeout(() => end(false), this.#options.stepMs);
      const wake = () => end(true);
      this.#wake = wake;
      connection.onUnexpected = wake;
    });
  }

  #isOverdue(octets: number): boolean {
    const { now, stepMs } = this.#options;
    return now() - this.#begunAtMs > patienceSteps * stepMs + (octets / minOctetsPerSecond) * 1000;
  }

  #dawdled(): Failure {
    const { now, stepMs } = this.#options;
    const reason = `the client was too slow for inline delivery (${seconds(stepMs)} for each step)`;
    return deferred("local", "4.4.2", reason, now());
  }

  /** The client has waited long enough for this one. */
  #tooSlow(): void {
    const { destination, now, stepMs } = this.#options;
    const reason = `${destination} did not answer within ${seconds(stepMs)}`;
    this.#conclude({ outcome: deferred("network", "4.4.2", reason, now()) });
    this.#controller.abort();
  }

  #report(outcome: Outcome, usable: boolean): TransactionReport {
    this.#conclude({ outcome });
    return { ...report(outcome, usable), isConcluded: true };
  }

  /** The first end counts. */
  #conclude(end: InlineEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#takeChunks();
    this.#makeRoom();
    this.#asked?.answer(answerOf(end.outcome));
    this.#settleEnd(end);
  }
}

function report(outcome: Outcome, usable: boolean): TransactionReport {
  return { outcomes: new Map([[0, outcome]]), tooMany: [], usable, untouched: false };
}

function answerOf(outcome: Outcome): RecipientAnswer {
  return outcome.kind === "delivered" ? { kind: "accepted" } : outcome;
}
