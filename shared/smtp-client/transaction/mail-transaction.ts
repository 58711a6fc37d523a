/** One mail transaction in an open session (RFC 5321 §3.3): MAIL, RCPT, DATA, and an outcome for every recipient. */

import { mustHaveTls } from "../../mail/envelope.ts";
import {
  deferRefusal,
  deferred,
  type Failure,
  outcomeOfRefusal,
  type Remote,
  rejected,
  remoteName,
  replyLine,
} from "../../smtp/diagnose.ts";
import type { Outcome } from "../../smtp/diagnosis.ts";
import type { SmtpReply } from "../../smtp/status.ts";
import type { Heard } from "../session/connection.ts";
import { type DisconnectReason, outcomeOfDisconnect } from "../session/disconnect-reason.ts";
import { isPositive, type Session, type Timeouts } from "../session/session.ts";
import { mailCommand, rcptCommand, unfitFor } from "./mail-commands.ts";
import { type Outgoing, sendData } from "./message-data.ts";

export interface TransactionReport {
  /** One for each recipient. */
  outcomes: Map<number, Outcome>;
  /** Those that were too many for this transaction: worth another one, in this session. A subset of `outcomes`. */
  tooMany: number[];
  /** Whether the session takes another transaction. */
  usable: boolean;
  /** The session ended before MAIL was answered: nothing happened in it. */
  untouched: boolean;
  /** No other host is to be asked, whatever the outcome: inline delivery, once a server has taken MAIL. */
  isConcluded?: true;
}

/** @param recipients  indexes into the envelope, at least one */
export function transact(
  session: Session,
  message: Outgoing,
  recipients: number[],
  timeouts: Timeouts,
  now: () => number,
): Promise<TransactionReport> {
  return new Transaction(session, message, recipients, timeouts, now).run();
}

class Transaction {
  readonly #session: Session;
  readonly #message: Outgoing;
  readonly #recipients: number[];
  readonly #timeouts: Timeouts;
  readonly #now: () => number;
  readonly #outcomes = new Map<number, Outcome>();
  readonly #accepted: number[] = [];
  readonly #tooMany: number[] = [];
  #usable = true;
  #untouched = false;

  constructor(
    session: Session,
    message: Outgoing,
    recipients: number[],
    timeouts: Timeouts,
    now: () => number,
  ) {
    this.#session = session;
    this.#message = message;
    this.#recipients = recipients;
    this.#timeouts = timeouts;
    this.#now = now;
  }

  async run(): Promise<TransactionReport> {
    if (!this.#isUnfit()) {
      this.#session.transactions++;
      const isComplete = await this.#envelope();
      // RFC 5321 §4.1.1.5: what was begun and not carried out is forgotten before the next.
      if (!isComplete && this.#usable) await this.#reset();
    }
    return {
      outcomes: this.#outcomes,
      tooMany: this.#tooMany,
      usable: this.#usable && this.#session.connection.isInStep,
      untouched: this.#untouched,
    };
  }

  /** Whether this server cannot have this message at all. */
  #isUnfit(): boolean {
    const { extensions, remote } = this.#session;
    const unfit = unfitFor(this.#message.envelope, this.#message.traits, extensions);
    if (unfit !== undefined) {
      const reason = `${remoteName(remote)}: ${unfit.reason}`;
      this.#settle(this.#recipients, rejected("5xx", unfit.status, reason, this.#now(), remote));
      return true;
    }
    // RFC 8689 §4.2.1: a server that promises to go on likewise. Its certificate was judged when the session was opened.
    if (mustHaveTls(this.#message.envelope) && !extensions.requireTls) {
      const reason = `${remoteName(remote)}: it does not offer REQUIRETLS`;
      this.#settle(this.#recipients, rejected("5xx", "5.7.30", reason, this.#now(), remote));
      return true;
    }
    return false;
  }

  /** @returns whether the transaction came to its end, so that nothing needs to be reset */
  async #envelope(): Promise<boolean> {
    const { connection, extensions } = this.#session;
    const { envelope, traits } = this.#message;
    const mail = mailCommand(envelope, traits, extensions);
    const rcpts = this.#recipients.map((index) => {
      const recipient = envelope.recipients[index];
      if (recipient === undefined) throw new Error(`the message has no recipient ${index}`);
      return rcptCommand(recipient, extensions);
    });
    // RFC 2920 §3.1: DATA ends the group.
    const { pipelining } = extensions;
    // ASCII goes the quick way.
    const encoding = traits.needsSmtpUtf8 ? "utf8" : "latin1";
    connection.write(pipelining ? `${mail}${rcpts.join("")}DATA\r\n` : mail, encoding);

    const answer = await connection.hear("MAIL", this.#timeouts.mail);
    if (isOver(answer)) {
      this.#untouched = true;
      return this.#end(answer, "while sending MAIL FROM", this.#recipients);
    }
    const mailReply = answer.reply;
    if (!isPositive(mailReply)) {
      this.#settle(this.#recipients, this.#refusal(mailReply));
      if (pipelining) await this.#hearTheRest(0);
      return false;
    }

    for (const [i, index] of this.#recipients.entries()) {
      if (!pipelining) connection.write(rcpts[i] ?? "", encoding);
      const heard = await connection.hear("RCPT", this.#timeouts.rcpt);
      if (isOver(heard)) {
        return this.#end(heard, "while sending RCPT TO", [...this.#accepted, ...this.#recipients.slice(i)]);
      }
      this.#judgeRecipient(index, heard.reply);
    }
    if (this.#accepted.length === 0) {
      if (pipelining) await this.#hearTheRest(this.#recipients.length);
      return false;
    }

    if (!pipelining) connection.write("DATA\r\n");
    const heard = await connection.hear("DATA", this.#timeouts.data);
    if (isOver(heard)) return this.#end(heard, "while sending DATA", this.#accepted);
    if (heard.reply.code !== 354) {
      this.#settle(this.#accepted, this.#refusal(heard.reply));
      return false;
    }
    return this.#data();
  }

  #judgeRecipient(index: number, reply: SmtpReply): void {
    if (isPositive(reply)) {
      this.#accepted.push(index);
      return;
    }
    if (isTooMany(reply, this.#accepted.length > 0)) {
      // RFC 5321 §4.5.3.1.10: 552 too is temporary then.
      this.#outcomes.set(index, deferRefusal(reply, this.#session.remote, this.#now()));
      if (this.#accepted.length > 0) this.#tooMany.push(index);
      return;
    }
    const refusal = mayPass(reply)
      ? deferRefusal(reply, this.#session.remote, this.#now())
      : this.#refusal(reply);
    this.#outcomes.set(index, refusal);
  }

  async #data(): Promise<boolean> {
    const { connection, extensions, remote } = this.#session;
    const sent = await sendData(connection, this.#message, this.#timeouts.body);
    if (sent.kind === "unreadable") {
      this.#usable = false;
      const reason = `the message could not be read from the spool: ${sent.reason}`;
      this.#settle(this.#accepted, deferred("local", "4.3.0", reason, this.#now()));
      return false;
    }
    const answer = await connection.hear("DOT", this.#timeouts.dot);
    if (sent.kind === "interrupted") {
      this.#usable = false;
      if (isOver(answer)) return this.#end(answer, "while sending the message", this.#accepted);
      // Whatever it says, it has not got the whole message, and the connection is in the middle of one.
      this.#settle(this.#accepted, this.#refusal(answer.reply));
      connection.destroy("closed", "the message was refused before its end");
      return false;
    }
    if (answer.kind === "lost") {
      this.#usable = false;
      const outcome = outcomeOfDisconnect(
        answer.disconnectReason,
        remote,
        "after sending the whole message",
        this.#now(),
      );
      // RFC 5321 §4.5.4.1, RFC 1047: it may have arrived; trying again later may make a second copy of it.
      outcome.diagnosis.possiblyDelivered = true;
      this.#settle(this.#accepted, outcome);
      return false;
    }
    const { reply } = answer;
    if (reply.code === 421) this.#usable = false;
    if (isPositive(reply)) {
      this.#settle(this.#accepted, { kind: "delivered", reply, remote, dsnPassedOn: extensions.dsn });
      return true;
    }
    this.#settle(this.#accepted, this.#refusal(reply));
    return false;
  }

  /**
   * After a refusal the replies to the rest of the group come all the same (RFC 2920 §3.1), to DATA at last: should
   * the server want data although it took nobody, it gets none.
   */
  async #hearTheRest(heardRecipients: number): Promise<void> {
    const { connection } = this.#session;
    for (let i = heardRecipients; i < this.#recipients.length; i++) {
      const heard = await connection.hear("RCPT", this.#timeouts.rcpt);
      if (isOver(heard)) return this.#giveUp();
    }
    const heard = await connection.hear("DATA", this.#timeouts.data);
    if (isOver(heard)) return this.#giveUp();
    if (heard.reply.code !== 354) return;
    connection.write(".\r\n");
    const end = await connection.hear("DOT", this.#timeouts.dot);
    if (isOver(end)) this.#giveUp();
  }

  async #reset(): Promise<void> {
    const { connection } = this.#session;
    connection.write("RSET\r\n");
    const heard = await connection.hear("RSET", this.#timeouts.mail);
    if (heard.kind === "lost" || !isPositive(heard.reply)) this.#giveUp();
  }

  #giveUp(): void {
    this.#usable = false;
  }

  /** Whom the end of the session leaves without an answer is deferred. @returns false: nothing came to its end */
  #end(end: SessionEnd, when: string, unsettled: number[]): false {
    this.#usable = false;
    this.#settle(unsettled, outcomeOfEnd(end, this.#session.remote, when, this.#now()));
    return false;
  }

  #refusal(reply: SmtpReply): Outcome {
    if (reply.code < 400) this.#usable = false;
    return outcomeOfReply(reply, this.#session.remote, this.#now());
  }

  #settle(recipients: number[], outcome: Outcome): void {
    for (const index of recipients) this.#outcomes.set(index, outcome);
  }
}

/** A loss, or 421 (RFC 5321 §3.8): the server is going away, whatever it was asked. */
export type SessionEnd =
  | { kind: "lost"; disconnectReason: DisconnectReason }
  | { kind: "reply"; reply: SmtpReply & { code: 421 } };

export function isOver(heard: Heard): heard is SessionEnd {
  return heard.kind === "lost" || heard.reply.code === 421;
}

/** For whom the end of the session leaves without an answer. @param when  "while sending RCPT TO" */
export function outcomeOfEnd(end: SessionEnd, remote: Remote, when: string, atMs: number): Failure {
  return end.kind === "lost"
    ? outcomeOfDisconnect(end.disconnectReason, remote, when, atMs)
    : outcomeOfRefusal(end.reply, remote, atMs);
}

/** What a reply other than the one that was hoped for means. */
export function outcomeOfReply(reply: SmtpReply, remote: Remote, atMs: number): Failure {
  if (reply.code >= 400) return outcomeOfRefusal(reply, remote, atMs);
  // 2xx or 3xx where it makes no sense: the server is confused, so the mail waits.
  const reason = `${remoteName(remote)} answered ${reply.command} out of order: ${replyLine(reply)}`;
  return deferred("network", "4.5.0", reason, atMs, remote);
}

/**
 * RFC 5321 §4.5.3.1.10: 452, or 552 of older servers, for a recipient too many: the enhanced status says so (RFC 3463
 * X.5.3), or others were accepted before.
 */
export function isTooMany(reply: SmtpReply, othersAccepted: boolean): boolean {
  if (reply.code !== 452 && reply.code !== 552) return false;
  return reply.enhanced?.endsWith(".5.3") || (othersAccepted && !isOfMailboxOrSize(reply));
}

/** RFC 5321 §4.5.3.1.10: 552 to RCPT is as temporary as 452, unless it speaks of the mailbox or of the message's size. */
function mayPass(reply: SmtpReply): boolean {
  return reply.code === 552 && !isOfMailboxOrSize(reply);
}

/** RFC 3463 X.2.x, X.3.4. */
function isOfMailboxOrSize({ enhanced }: SmtpReply): boolean {
  return enhanced !== undefined && /^\d\.(2\.\d+|3\.4)$/.test(enhanced);
}
