/** The taking of messages, from DATA to the reply to the final dot. Owns the message at hand. */
import type { TlsFacts } from "../../../shared/mail/received.ts";
import type { Connection } from "../../../shared/routing/connection.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import type { SessionInput } from "./input.ts";
import { addresses, type Journal, type Stage } from "./journal.ts";
import type { SessionProfile } from "./profile.ts";
import { Reception, storageReply } from "./reception.ts";
import { queuedReply, replies } from "./replies.ts";
import { type Stored, settlesWithin, storeMessage } from "./store.ts";
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

export class Intake {
  readonly #session: IntakeSession;
  readonly #profile: SessionProfile;
  readonly #journal: Journal;
  #message: OpenMessage | undefined;
  #reception: Reception | undefined;
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
      this.#reception = new Reception(acceptor.spool.draft(), reception, now());
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
    this.#reception = undefined;
    this.#message = undefined;
  }

  #finish(reception: Reception): void {
    const message = this.#message;
    if (message === undefined) return;
    if (reception.refusal !== undefined && reception.storageError === undefined) {
      this.#conclude(message, reception, { kind: "refused", reply: reception.refusal });
      return;
    }
    const { acceptor, hostname, now } = this.#profile;
    const { connection, input } = this.#session;
    const { transaction, ...client } = message;
    const { envelope, routes } = transaction;
    const { size, has8bit, messageId } = reception;
    const facts = { connection, hostname, ...client, envelope, routes, messageId, size, has8bit };
    input.wait();
    this.isStoring = true;
    storeMessage(reception, facts, acceptor, now())
      .then((stored) => {
        this.isStoring = false;
        this.#conclude(message, reception, stored);
        input.resumeInput();
        this.#session.flush();
      })
      .catch((error: unknown) => this.#session.inputFailed(error));
  }

  #conclude(message: OpenMessage, reception: Reception, stored: Stored): void {
    if (stored.kind === "accepted") {
      this.#journal.accepted({
        id: stored.id,
        helo: message.helo,
        envelope: message.transaction.envelope,
        messageId: reception.messageId,
        size: reception.size,
        rows: stored.rows,
        ms: this.#profile.now() - reception.startedAtMs,
        unheard: this.#session.isGone,
      });
      this.#session.reply(queuedReply(stored.id));
    } else {
      reception.abandon();
      this.#session.reply(this.#refused("DOT", message, stored.reply));
    }
    this.#reception = undefined;
    this.#message = undefined;
    this.#session.transactionOver(stored.kind === "accepted");
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
