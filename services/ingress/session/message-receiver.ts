/** The taking of messages, from DATA to the reply to the final dot. Owns the message at hand. */

import type { Connection } from "../../../shared/mail/client-connection.ts";
import type { TlsFacts } from "../../../shared/mail/received.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { type FinishedInline, finishInline } from "../inline/finish-inline.ts";
import type { InlineLeg } from "../inline/inline-delivery.ts";
import { logInline } from "../inline/inline-log.ts";
import { makeStamp, nextQueueId, type ReceivedMessage, type Stamp } from "../message/accept.ts";
import { Reception, storageReply } from "../message/data-receiver.ts";
import { queuedReply, replies } from "../message/replies.ts";
import { type Stored, settlesWithin, storeMessage } from "../message/store.ts";
import type { SessionInput } from "./input.ts";
import type { SessionProfile } from "./profile.ts";
import { addresses, type Journal, type Stage } from "./session-log.ts";
import type { Transaction } from "./transaction.ts";

/** What the intake needs of its session. */
export interface IntakeSession {
  readonly connection: Connection;
  readonly input: SessionInput;
  /** The client is gone. */
  readonly isGone: boolean;
  reply(reply: Reply): void;
  /** Sends the replies so far. */
  flush(): void;
  /** Says this and closes. */
  leave(reply: Reply): void;
  /** A mistake of ours. */
  inputFailed(error: unknown): void;
  /** The transaction is over; the reply was given. */
  transactionOver(accepted: boolean): void;
}

/** A transaction whose data is being taken, and by whom it was opened. */
export interface OpenMessage {
  transaction: Transaction;
  helo: string;
  ehlo: boolean;
  tls: TlsFacts | undefined;
}

/** The far server's part in the message at hand. */
interface InlinePart {
  leg: InlineLeg;
  stamp: Stamp;
}

export class Intake {
  readonly #session: IntakeSession;
  readonly #profile: SessionProfile;
  readonly #journal: Journal;
  #message: OpenMessage | undefined;
  #reception: Reception | undefined;
  #inline: InlinePart | undefined;
  /** The final dot has come, and the reply has not gone. */
  isStoring = false;

  constructor(session: IntakeSession, profile: SessionProfile, journal: Journal) {
    this.#session = session;
    this.#profile = profile;
    this.#journal = journal;
  }

  /** Answers DATA. */
  open(message: OpenMessage): Reply {
    const { acceptor, reception, now } = this.#profile;
    try {
      const draft = acceptor.spool.draft();
      this.#inline = this.#beginInline(message);
      this.#reception = new Reception(draft, reception, now(), this.#inline?.leg);
    } catch (error) {
      acceptor.log.error({ session: this.#session.connection.id, err: error }, "the spool takes no message");
      return this.#refused("DATA", message, storageReply(error));
    }
    this.#message = message;
    this.#session.input.startData();
    return replies.startData;
  }

  /** Takes octets of the message. @returns index behind its end, -1 while that has not come */
  take(chunk: Buffer): number {
    const reception = this.#reception;
    if (reception === undefined) return 0;
    const end = reception.push(chunk);
    // The far server must not get what we refuse.
    if (reception.refusal !== undefined) this.#inline?.leg.abandon();
    if (end >= 0) this.#finish(reception);
    else if (reception.isAbsurd) this.#breakOff(replies.tooLarge);
    else if (reception.isTooSlow(this.#profile.now())) this.#breakOff(replies.tooSlow);
    else if (reception.pressure !== undefined) this.#waitForStorage(reception.pressure);
    return end;
  }

  /** Gives up the message at hand; what is being stored goes on. */
  abandon(): void {
    if (this.isStoring) return;
    this.#reception?.abandon();
    this.#inline?.leg.abandon();
    this.#forget();
  }

  /** The id and the Received field are made here: the far server gets them before the record, if there will be one. */
  #beginInline(message: OpenMessage): InlinePart | undefined {
    const { leg, envelope } = message.transaction;
    if (leg === undefined) return undefined;
    if (leg.recipients.length === 0) {
      leg.abandon();
      // Its recipients are the queue's; the log will tell why.
      if (leg.deferred.size === 0) return undefined;
    }
    const { hostname, now } = this.#profile;
    const { connection } = this.#session;
    const { helo, ehlo, tls } = message;
    const atMs = now();
    const stamp = makeStamp({ connection, hostname, helo, ehlo, tls, envelope }, nextQueueId(atMs), atMs);
    leg.startData(stamp.received);
    return { leg, stamp };
  }

  #finish(reception: Reception): void {
    const message = this.#message;
    if (message === undefined) return;
    if (reception.refusal !== undefined && reception.storageError === undefined) {
      this.#conclude(message, reception, { kind: "refused", reply: reception.refusal });
      return;
    }
    const { hostname } = this.#profile;
    const { connection, input } = this.#session;
    const { transaction, ...client } = message;
    const { envelope, routes } = transaction;
    const { size, has8bit, messageId, tlsOptional } = reception;
    const content = { messageId, size, has8bit, tlsOptional };
    const facts = { connection, hostname, ...client, envelope, routes, ...content };
    input.wait();
    this.isStoring = true;
    this.#carry(facts, reception)
      .then(({ stored, inline }) => {
        this.isStoring = false;
        this.#conclude(message, reception, stored, inline);
        input.resumeInput();
        this.#session.flush();
      })
      .catch((error: unknown) => this.#session.inputFailed(error));
  }

  /** To the far server, if there is one, and to the spool, for whom that leaves. */
  async #carry(
    facts: ReceivedMessage,
    reception: Reception,
  ): Promise<{ stored: Stored; inline?: FinishedInline }> {
    const { acceptor, inline, now } = this.#profile;
    const part = this.#inline;
    if (part === undefined || inline === undefined || reception.refusal !== undefined) {
      const atMs = now();
      const stamp = part?.stamp ?? makeStamp(facts, nextQueueId(atMs), atMs);
      return { stored: await storeMessage(reception, facts, acceptor, stamp) };
    }
    const isGone = () => this.#session.isGone;
    const finished = await finishInline({ ...part, isGone }, reception, facts, acceptor, inline);
    return { stored: finished.stored, inline: finished };
  }

  #conclude(message: OpenMessage, reception: Reception, stored: Stored, inline?: FinishedInline): void {
    if (stored.kind === "accepted") {
      const ms = this.#profile.now() - reception.startedAtMs;
      const leg = this.#inline?.leg;
      const isDelivered = inline?.end?.outcome.kind === "delivered";
      this.#journal.accepted({
        id: stored.id,
        helo: message.helo,
        envelope: message.transaction.envelope,
        messageId: reception.messageId,
        size: reception.size,
        rows: stored.rows,
        ms,
        unheard: this.#session.isGone,
        ...(leg === undefined ? {} : { inline: isDelivered ? leg.recipients.length : 0 }),
      });
      if (leg !== undefined && inline?.end !== undefined) {
        const { envelope } = message.transaction;
        const { end, isSettled } = inline;
        logInline(this.#profile.acceptor.log, { id: stored.id, envelope, leg, end, ms, isSettled });
      }
      this.#session.reply(stored.reply ?? queuedReply(stored.id));
    } else {
      reception.abandon();
      this.#session.reply(this.#refused("DOT", message, stored.reply));
    }
    this.#forget();
    this.#session.transactionOver(stored.kind === "accepted");
  }

  #forget(): void {
    this.#reception = undefined;
    this.#inline = undefined;
    this.#message = undefined;
  }

  /** In the middle of the data. */
  #breakOff(reply: Reply): void {
    if (this.#message !== undefined) this.#refused("DOT", this.#message, reply);
    this.abandon();
    this.#session.leave(reply);
  }

  #waitForStorage(pressure: Promise<void>): void {
    const { input } = this.#session;
    input.wait();
    settlesWithin(pressure, this.#profile.acceptor.deadlineMs)
      .then((settled) => {
        if (settled) {
          input.resumeInput();
          this.#session.flush();
        } else {
          this.#breakOff(replies.localError);
        }
      })
      .catch((error: unknown) => this.#session.inputFailed(error));
  }

  #refused(stage: Stage, { transaction, helo }: OpenMessage, reply: Reply): Reply {
    const { envelope } = transaction;
    this.#journal.refused(stage, reply, { helo, from: envelope.reversePath, to: addresses(envelope) });
    return reply;
  }
}
